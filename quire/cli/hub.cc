#include "quire/cli/hub.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "quire/cli/model_path.h"
#include "quire/files/split_name.h"

namespace quire {
namespace {

constexpr size_t kLongestListing = 64 << 20;
constexpr int kMostPages = 1000;
constexpr const char* kUsualTag = "Q4_K_M";

// What a safetensors folder needs beside its weights, where the repository has it.
constexpr const char* kFolderFiles[] = {"config.json",
                                        "generation_config.json",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "chat_template.jinja",
                                        "model.safetensors.index.json"};

bool IsGguf(const std::string& path) { return path.ends_with(".gguf"); }

// Vision towers and the like lie beside the model they belong to.
bool IsProjector(const std::string& path) { return path.find("mmproj") != std::string::npos; }

std::string FileName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// Names come from the network and become paths in the cache.
bool IsSafePath(const std::string& path) {
  if (path.empty() || path.find('\\') != std::string::npos) return false;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    if (part.empty() || part.starts_with('.')) return false;
    begin = end + 1;
  }
  return true;
}

std::string TextOf(const nlohmann::json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

std::optional<uint64_t> BytesOf(const nlohmann::json& object) {
  const auto it = object.find("size");
  if (it == object.end() || !it->is_number_unsigned()) return std::nullopt;
  return it->get<uint64_t>();
}

// {"type": "file", "path": ..., "size": ..., "oid": <git blob>, "lfs": {"oid": <sha256>, "size": ...}}
std::optional<HubFile> ReadEntry(const nlohmann::json& entry) {
  if (!entry.is_object() || TextOf(entry, "type") != "file") return std::nullopt;
  HubFile file{TextOf(entry, "path"), BytesOf(entry), std::nullopt};
  if (!IsSafePath(file.path)) return std::nullopt;
  if (const auto lfs = entry.find("lfs"); lfs != entry.end() && lfs->is_object()) {
    if (auto checksum = ParseSha256(TextOf(*lfs, "oid"))) file.checksum = *checksum;
    file.bytes = BytesOf(*lfs);
  } else if (const std::string blob = TextOf(entry, "oid"); blob.size() == 40) {
    file.checksum = Checksum{Checksum::Kind::kGitBlob, blob};
  }
  return file;
}

// The next page of a listing: Link: <https://...>; rel="next"
std::optional<std::string> NextPage(std::string_view link) {
  const size_t begin = link.find('<'), end = link.find('>');
  if (link.find("rel=\"next\"") == std::string_view::npos || begin >= end || end == std::string_view::npos) {
    return std::nullopt;
  }
  return std::string(link.substr(begin + 1, end - begin - 1));
}

Error ListingError(const HttpReply& reply, const std::string& repository) {
  switch (reply.status) {
    case 401:
    case 403:
      return {
          ErrorCode::kInvalidArgument,
          fmt::format("{} has no repository {} for you ({}): check the name, or set HF_TOKEN to an access "
                      "token that may read it",
                      reply.url.Authority(), repository, reply.status)};
    case 404:
      return {ErrorCode::kNotFound,
              fmt::format("{} has no repository {}, or not that revision; check the name",
                          reply.url.Authority(), repository)};
    default:
      return {ErrorCode::kUnavailable, fmt::format("{} answered {} for {}; try again later",
                                                   reply.url.Authority(), reply.status, repository)};
  }
}

// "Q4_K_M" of "model-Q4_K_M.gguf", or the whole name.
std::string Names(const std::vector<HubFile>& files) {
  std::string names;
  for (const HubFile& file : files) names += (names.empty() ? "" : ", ") + file.path;
  return names;
}

std::vector<HubFile> FirstParts(const std::vector<HubFile>& files) {
  std::vector<HubFile> found;
  for (const HubFile& file : files) {
    const auto split = ParseSplitName(file.path);
    if (IsGguf(file.path) && !IsProjector(file.path) && (!split || split->number == 1)) found.push_back(file);
  }
  return found;
}

Result<std::vector<HubFile>> AllParts(const HubFile& first, const std::vector<HubFile>& files) {
  const auto split = ParseSplitName(first.path);
  if (!split) return std::vector{first};
  std::vector<HubFile> parts;
  for (int number = 1; number <= split->count; ++number) {
    const auto part = std::ranges::find(files, split->Part(number), &HubFile::path);
    if (part == files.end()) {
      return Fail(ErrorCode::kNotFound, "the repository lacks {}, a part of the model; choose another file",
                  split->Part(number));
    }
    parts.push_back(*part);
  }
  return parts;
}

// The weights at the top of the repository, or nothing.
std::vector<HubFile> SafetensorsFolder(const std::vector<HubFile>& files) {
  const auto is_weights = [](const std::string& path) {
    return path.ends_with(".safetensors") && path.find('/') == std::string::npos;
  };
  const bool usual = std::ranges::any_of(
      files, [&](const HubFile& f) { return is_weights(f.path) && f.path.starts_with("model"); });
  std::vector<HubFile> chosen;
  bool has_config = false, has_weights = false;
  for (const HubFile& file : files) {
    const bool is_weight = is_weights(file.path) && (!usual || file.path.starts_with("model"));
    const bool is_beside = std::ranges::find(kFolderFiles, file.path) != std::end(kFolderFiles);
    has_config |= file.path == "config.json";
    has_weights |= is_weight;
    if (is_weight || is_beside) chosen.push_back(file);
  }
  return has_config && has_weights ? chosen : std::vector<HubFile>();
}

}  // namespace

std::optional<HubName> ParseHubName(const std::string& text) {
  HubName name;
  std::string path = text;
  if (const size_t colon = text.rfind(':'); colon != std::string::npos) {
    name.tag = text.substr(colon + 1);
    path = text.substr(0, colon);
    if (name.tag.empty()) return std::nullopt;
  }
  const size_t first = path.find('/');
  if (first == std::string::npos || !IsSafePath(path)) return std::nullopt;
  const size_t second = std::min(path.find('/', first + 1), path.size());
  name.repository = path.substr(0, second);
  if (second < path.size()) name.file = path.substr(second + 1);
  if (!name.file.empty() && !name.tag.empty()) return std::nullopt;
  return name;
}

HeaderList Hub::Headers() const {
  if (token.empty()) return {};
  return {{"Authorization", "Bearer " + token}};
}

Result<std::vector<HubFile>> Hub::ListFiles(const HttpClient& client, const std::string& repository) const {
  std::string page = fmt::format("{}/api/models/{}/tree/{}?recursive=true", endpoint, EncodePath(repository),
                                 EncodePath(revision));
  std::vector<HubFile> files;
  QUIRE_ASSIGN(const Url server, ParseUrl(endpoint));
  for (int pages = 0; pages < kMostPages; ++pages) {
    QUIRE_ASSIGN(const Url url, ResolveUrl(server, page));
    QUIRE_ASSIGN(auto answer,
                 client.GetText(url, url.SameServer(server) ? Headers() : HeaderList(), kLongestListing));
    const auto& [reply, text] = answer;
    if (reply.status != 200) return std::unexpected(ListingError(reply, repository));
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_array()) {
      return Fail(ErrorCode::kCorrupt, "{} did not list the files of {} as a hub does; check --endpoint",
                  url.Authority(), repository);
    }
    for (const auto& entry : json) {
      if (auto file = ReadEntry(entry)) files.push_back(*std::move(file));
    }
    const auto next = NextPage(reply.Header("link"));
    if (!next) return files;
    page = *next;
  }
  return Fail(ErrorCode::kCorrupt, "the listing of {} never ends; name a file of it", repository);
}

Result<Url> Hub::FileUrl(const std::string& repository, const std::string& path) const {
  return ParseUrl(fmt::format("{}/{}/resolve/{}/{}", endpoint, EncodePath(repository), EncodePath(revision),
                              EncodePath(path)));
}

Result<std::vector<HubFile>> ChooseFiles(const HubName& name, const std::vector<HubFile>& files) {
  std::vector<HubFile> ggufs = FirstParts(files);
  if (!name.file.empty()) {
    const auto file = std::ranges::find(files, name.file, &HubFile::path);
    if (file != files.end() && IsGguf(file->path)) return AllParts(*file, files);
    return Fail(ErrorCode::kNotFound, "{} has no GGUF file {}; it has: {}", name.repository, name.file,
                ggufs.empty() ? "none" : Names(ggufs));
  }
  const auto with_tag = [&](const std::string& tag) {
    std::vector<HubFile> found;
    std::ranges::copy_if(ggufs, std::back_inserter(found),
                         [&](const HubFile& f) { return HasTag(FileName(f.path), tag); });
    return found;
  };
  std::vector<HubFile> found = name.tag.empty() ? ggufs : with_tag(name.tag);
  if (name.tag.empty() && found.size() > 1) {
    if (auto usual = with_tag(kUsualTag); usual.size() == 1) found = usual;
  }
  if (found.size() == 1) return AllParts(found.front(), files);
  if (found.size() > 1) {
    return Fail(ErrorCode::kInvalidArgument,
                "{} has several models: name one as {}/FILE, where FILE is one of: {}", name.repository,
                name.repository, Names(found));
  }
  if (!name.tag.empty()) {
    return Fail(ErrorCode::kNotFound, "{} has no GGUF file with {} in its name; it has: {}", name.repository,
                name.tag, ggufs.empty() ? "none" : Names(ggufs));
  }
  std::vector<HubFile> folder = SafetensorsFolder(files);
  if (!folder.empty()) return folder;
  return Fail(ErrorCode::kNotFound,
              "{} has neither GGUF files nor safetensors with a config.json; choose another",
              name.repository);
}

}  // namespace quire
