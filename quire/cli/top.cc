// `quire top [URL]`: a live view of a server's memory, until Ctrl-C.
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "quire/cli/generate.h"
#include "quire/cli/http_client.h"
#include "quire/cli/top_view.h"
#include "quire/cli/verb.h"

namespace quire {
namespace {

TopSize TerminalSize() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
    return {.columns = 1000, .lines = 100'000};
  return {.columns = size.ws_col, .lines = size.ws_row - 1};
}

class TopVerb final : public Verb {
 public:
  Flags MakeFlags() override {
    Flags flags("top", "[URL] [flags]",
                "Shows where a server's memory is, by state and by owner, until Ctrl-C.");
    flags.Add({"URL", &url_, "", "of quire serve"});
    flags.Add({"--interval", &interval_, "TIME", "between two looks", {.min = 0.1, .max = 3600}});
    flags.Add({"--once", &once_, "", "show it once; so it is where standard output is no terminal"});
    flags.Add({"--api-key", &api_key_, "KEY", "the server's, if it wants one"});
    return flags;
  }

  Result<int> Run() override {
    const bool live = !once_ && isatty(STDOUT_FILENO) != 0;
    QUIRE_ASSIGN(const Url server, ParseUrl(url_));
    std::optional<ServerWork> before;
    while (true) {
      QUIRE_ASSIGN(const std::string memory, Get(server, "/memory"));
      QUIRE_ASSIGN(const std::string metrics, Get(server, "/metrics"));
      const ServerWork work = ReadWork(metrics);
      QUIRE_ASSIGN(
          const std::string text,
          RenderTop(memory, before ? std::optional(Rates(*before, work)) : std::nullopt, TerminalSize()));
      before = work;
      constexpr std::string_view kHome = "\x1b[H\x1b[2J";
      QUIRE_TRY(WriteOut(live ? std::string(kHome) + text : text));
      if (!live) return 0;
      std::this_thread::sleep_for(interval_);
    }
  }

 private:
  Result<std::string> Get(const Url& server, const char* path) const {
    constexpr size_t kMost = 64 << 20;
    HttpClientOptions options = HttpClientOptionsFromEnvironment();
    options.timeout = std::chrono::seconds(10);
    HeaderList headers;
    if (!api_key_.empty()) headers.emplace_back("Authorization", "Bearer " + api_key_);
    QUIRE_ASSIGN(const Url url, ResolveUrl(server, path));
    QUIRE_ASSIGN(auto reply, HttpClient(options).GetText(url, headers, kMost));
    if (reply.first.status == 401) {
      return Fail(ErrorCode::kInvalidArgument, "{} wants an API key; give it with --api-key", url.Text());
    }
    if (reply.first.status != 200) {
      return Fail(ErrorCode::kUnavailable, "{} answered {}; is a model being served there?", url.Text(),
                  reply.first.status);
    }
    return std::move(reply.second);
  }

  TopRates Rates(const ServerWork& before, const ServerWork& now) const {
    const double seconds = std::chrono::duration<double>(interval_).count();
    return {.prompt_tokens_per_s = (now.prompt_tokens - before.prompt_tokens) / seconds,
            .output_tokens_per_s = (now.output_tokens - before.output_tokens) / seconds};
  }

  std::string url_ = "http://127.0.0.1:8000", api_key_;
  std::chrono::milliseconds interval_{1000};
  bool once_ = false;
};

}  // namespace

std::unique_ptr<Verb> MakeTop() { return std::make_unique<TopVerb>(); }

}  // namespace quire
