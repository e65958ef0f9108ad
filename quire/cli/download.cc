// What a server says is believed only as far as it can be checked: a range must begin where it was asked to,
// sizes must agree, and a file with a checksum is published only when it matches.
#include "quire/cli/download.h"

#include <charconv>
#include <filesystem>
#include <thread>

#include "quire/base/byte_size.h"
#include "quire/base/clock.h"
#include "quire/cli/part_file.h"
#include "quire/cli/progress.h"

namespace quire {
namespace {

constexpr auto kLongestPause = std::chrono::seconds(30);

uint64_t Number(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// "bytes 100-199/200"
struct ContentRange {
  uint64_t begin = 0;
  std::optional<uint64_t> total;
};

std::optional<ContentRange> ParseContentRange(std::string_view text) {
  if (!text.starts_with("bytes ")) return std::nullopt;
  text.remove_prefix(6);
  const size_t slash = text.find('/');
  if (text.find('-') == std::string_view::npos || slash == std::string_view::npos) return std::nullopt;
  ContentRange range{.begin = Number(text), .total = std::nullopt};
  if (text.substr(slash + 1) != "*") range.total = Number(text.substr(slash + 1));
  return range;
}

// The version of the file, usable in If-Range: a strong ETag.
std::string VersionTag(const HttpReply& reply) {
  const std::string_view etag = reply.Header("etag");
  return etag.starts_with('"') ? std::string(etag) : "";
}

// Hubs state the SHA-256 of large files as their ETag.
std::optional<Checksum> StatedChecksum(const HttpReply& reply) {
  for (const char* name : {"x-linked-etag", "etag"}) {
    std::string_view etag = reply.HeaderOnTheWay(name);
    if (etag.size() < 2 || !etag.starts_with('"') || !etag.ends_with('"')) continue;
    etag.remove_prefix(1);
    etag.remove_suffix(1);
    if (auto checksum = ParseSha256(etag)) return *checksum;
  }
  return std::nullopt;
}

Error StatusError(const HttpReply& reply) {
  const std::string where = reply.url.Text().substr(0, reply.url.Text().find('?'));
  switch (reply.status) {
    case 401:
    case 403:
      return {ErrorCode::kInvalidArgument,
              fmt::format("{} wants a login ({}): set HF_TOKEN to an access token that may read it", where,
                          reply.status)};
    case 404:
    case 410:
      return {ErrorCode::kNotFound, fmt::format("there is no {} ({}); check the name", where, reply.status)};
    default:
      const bool passing = reply.status == 408 || reply.status == 429 || reply.status >= 500;
      return {passing ? ErrorCode::kUnavailable : ErrorCode::kInvalidArgument,
              fmt::format("{} answered {}; {}", where, reply.status,
                          passing ? "try again later" : "check the URL")};
  }
}

class Transfer {
 public:
  Transfer(const HttpClient& client, const Download& download, PartFile part)
      : client_(client),
        download_(download),
        part_(std::move(part)),
        checksum_(download.checksum),
        total_(download.bytes),
        bar_("pulling " + std::filesystem::path(download.path).filename().string()) {}

  Status Run() {
    const Status done = FetchAndPublish();
    if (!done && part_.bytes() == 0) part_.Remove();
    return done;
  }

 private:
  Status FetchAndPublish() {
    resumed_ = part_.bytes() > 0;
    QUIRE_TRY(FetchAll());
    auto checked = Check();
    if (checked) return part_.Publish();
    if (checked.error().code != ErrorCode::kCorrupt) return checked;
    // What an earlier run left may be of another version: once more, all of it.
    if (resumed_) {
      resumed_ = false;
      QUIRE_TRY(part_.Restart(""));
      QUIRE_TRY(FetchAll());
      checked = Check();
      if (checked) return part_.Publish();
    }
    part_.Remove();
    return checked;
  }

  Status FetchAll() {
    auto pause = download_.retry_pause;
    for (int failures = 0;;) {
      const uint64_t before = part_.bytes();
      auto fetched = IsComplete() ? Status() : FetchOnce();
      if (fetched && (!total_ || part_.bytes() >= *total_)) return {};
      if (!fetched && fetched.error().code != ErrorCode::kUnavailable) return fetched;
      if (part_.bytes() > before) {
        failures = 0;
        pause = download_.retry_pause;
      }
      if (++failures > download_.retries) return fetched ? ShortError() : fetched;
      std::this_thread::sleep_for(pause);
      pause = std::min<std::chrono::milliseconds>(pause * 2, kLongestPause);
    }
  }

  bool IsComplete() const { return download_.bytes && part_.bytes() == *download_.bytes; }

  Status ShortError() const {
    return Fail(ErrorCode::kUnavailable, "{} sent {} of {} bytes; run the pull again to continue",
                download_.url.Authority(), part_.bytes(), *total_);
  }

  Status FetchOnce() {
    // Without a checksum or a version nothing would show that the rest belongs to another file.
    if (part_.bytes() > 0 && !checksum_ && part_.tag().empty()) QUIRE_TRY(part_.Restart(""));
    HeaderList headers = download_.headers;
    if (part_.bytes() > 0) {
      headers.emplace_back("Range", fmt::format("bytes={}-", part_.bytes()));
      if (!part_.tag().empty()) headers.emplace_back("If-Range", part_.tag());
    }
    const auto on_head = [this](const HttpReply& reply) { return TakeHead(reply); };
    const auto on_body = [this](std::string_view part) { return TakeBody(part); };
    auto reply = client_.Get(download_.url, headers, on_head, on_body);
    if (!reply) return std::unexpected(reply.error());
    return {};
  }

  Status TakeHead(const HttpReply& reply) {
    if (reply.status == 200 && reply.Header("content-type").starts_with("text/html")) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{} is a web page, no model; use the address of the file (on a hub with /resolve/ instead "
                  "of /blob/)",
                  reply.url.Text());
    }
    if (!checksum_) checksum_ = StatedChecksum(reply);
    if (reply.status == 206) {
      const auto range = ParseContentRange(reply.Header("content-range"));
      if (!range || range->begin != part_.bytes()) {
        QUIRE_TRY(part_.Restart(""));
        return Fail(ErrorCode::kUnavailable, "{} sent another part than asked for; try again",
                    reply.url.Authority());
      }
      QUIRE_TRY(SetTotal(range->total));
    } else if (reply.status == 416) {
      QUIRE_TRY(part_.Restart(""));
      return Fail(ErrorCode::kUnavailable, "{} has no such part; try again", reply.url.Authority());
    } else if (reply.status == 200) {
      QUIRE_TRY(part_.Restart(VersionTag(reply)));
      QUIRE_TRY(SetTotal(reply.bytes));
    } else {
      return std::unexpected(StatusError(reply));
    }
    fetch_start_ = Clock::System().Now();
    fetch_from_ = part_.bytes();
    return total_ ? part_.CheckRoom(*total_ - std::min(*total_, part_.bytes())) : Status();
  }

  Status SetTotal(std::optional<uint64_t> stated) {
    if (!stated) return {};
    if (download_.bytes && *download_.bytes != *stated) {
      return Fail(ErrorCode::kCorrupt, "{} has {} bytes where the hub lists {}; try again later",
                  download_.url.Text(), *stated, *download_.bytes);
    }
    total_ = stated;
    return {};
  }

  Status TakeBody(std::string_view data) {
    QUIRE_TRY(part_.Append(data));
    const double seconds = Seconds(Clock::System().Now() - fetch_start_);
    const auto speed = static_cast<double>(part_.bytes() - fetch_from_) / std::max(seconds, 0.001);
    const double share = total_ ? static_cast<double>(part_.bytes()) / static_cast<double>(*total_) : 0;
    bar_.Set(share, fmt::format("{}, {}/s", FormatByteSize(part_.bytes()),
                                FormatByteSize(static_cast<uint64_t>(speed))));
    return {};
  }

  Status Check() {
    bar_.Finish();
    if (total_ && part_.bytes() != *total_) {
      return Fail(ErrorCode::kCorrupt, "{} sent {} bytes instead of {}; nothing was kept, try again",
                  download_.url.Text(), part_.bytes(), *total_);
    }
    if (!checksum_) return {};
    ProgressBar bar("checking " + std::filesystem::path(download_.path).filename().string());
    QUIRE_ASSIGN(const std::string found,
                 DigestFile(part_.part_path(), checksum_->kind, [&](double share) { bar.Set(share); }));
    if (found == checksum_->hex) return {};
    return Fail(ErrorCode::kCorrupt, "{} has the checksum {} instead of {}; nothing was kept, try again",
                download_.url.Text(), found, checksum_->hex);
  }

  const HttpClient& client_;
  const Download& download_;
  PartFile part_;
  std::optional<Checksum> checksum_;
  std::optional<uint64_t> total_;
  bool resumed_ = false;
  ProgressBar bar_;
  TimePoint fetch_start_;
  uint64_t fetch_from_ = 0;
};

// Whether the finished file is the one that is wanted, as far as that is known.
Result<bool> IsThere(const Download& download) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(download.path, error);
  if (error || (download.bytes && *download.bytes != bytes)) return false;
  if (!download.checksum) return true;
  QUIRE_ASSIGN(const std::string found, DigestFile(download.path, download.checksum->kind, [](double) {}));
  return found == download.checksum->hex;
}

}  // namespace

Result<DownloadOutcome> DownloadFile(const HttpClient& client, const Download& download) {
  QUIRE_ASSIGN(const bool there, IsThere(download));
  if (there) return DownloadOutcome::kAlreadyThere;
  QUIRE_ASSIGN(PartFile part, PartFile::Open(download.path));
  QUIRE_TRY(Transfer(client, download, std::move(part)).Run());
  return DownloadOutcome::kDownloaded;
}

}  // namespace quire
