#include "quire/server/batch.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <unordered_set>
#include <utility>

#include "quire/base/waiting_queue.h"
#include "quire/server/batch_line.h"
#include "quire/server/generation.h"
#include "quire/server/http.h"

// Invariants: everything but Post happens on the thread of RunBatch. A line is written whole and at once, so
// an output that was cut off has one broken line at most, at its end.

namespace quire {
namespace {

using Work = std::function<void()>;
using WorkQueue = WaitingQueue<Work>;

// What answers a line: its executor is the queue of the batch.
class BatchExchange final : public HttpExchange {
 public:
  BatchExchange(std::shared_ptr<WorkQueue> queue, std::function<void(const HttpResponse&)> answered)
      : queue_(std::move(queue)), answered_(std::move(answered)) {}

  void Post(Work work) override { queue_->Put(std::move(work)); }
  void Respond(HttpResponse response) override { answered_(response); }
  // Nothing asks for a stream: ParseBatchLine refuses it.
  void BeginStream(HttpResponse) override {}
  void Write(std::string_view) override {}
  void End() override {}
  void OnClosed(Work) override {}

 private:
  const std::shared_ptr<WorkQueue> queue_;  // the engine may be done with a request after the batch is
  const std::function<void(const HttpResponse&)> answered_;
};

class LineReader {
 public:
  static constexpr size_t kMostBytes = size_t{64} << 20;

  Status Open(const std::string& path) {
    file_.open(path, std::ios::binary);
    if (!file_ || std::filesystem::is_directory(path)) {
      return Fail(ErrorCode::kIo, "cannot read {}: {}; check the path", path, std::strerror(errno));
    }
    std::error_code unknown;
    size_ = std::filesystem::file_size(path, unknown);
    if (unknown) size_ = 0;
    return {};
  }
  // False at the end. A line that is too long comes cut.
  bool Next(std::string& line) {
    line.clear();
    std::streambuf& bytes = *file_.rdbuf();
    bool any = false, ended = false;
    for (int c = bytes.sbumpc(); c != EOF; c = bytes.sbumpc()) {
      any = true;
      ++read_;
      ended = c == '\n';
      if (ended) break;
      if (line.size() <= kMostBytes) line.push_back(static_cast<char>(c));
    }
    whole_ = ended;
    ++number_;
    return any;
  }
  int64_t number() const { return number_; }  // of the line, from 1 on
  bool whole() const { return whole_; }       // it had its line feed
  size_t read() const { return read_; }       // bytes
  double share() const { return size_ == 0 ? 0 : static_cast<double>(read_) / static_cast<double>(size_); }

 private:
  std::ifstream file_;
  size_t size_ = 0, read_ = 0;
  int64_t number_ = 0;
  bool whole_ = false;
};

// Which requests have an answer, or are on their way to one. Of their ids only hashes are kept: eight bytes
// a request, however long the file is.
class Known {
 public:
  // False when it is known already.
  bool AddId(std::string_view custom_id) {
    return ids_.insert(std::hash<std::string_view>()(custom_id)).second;
  }
  bool AddLine(int64_t line) { return lines_.insert(line).second; }
  bool HasLine(int64_t line) const { return lines_.contains(line); }
  bool HasId(std::string_view custom_id) const {
    return ids_.contains(std::hash<std::string_view>()(custom_id));
  }

 private:
  std::unordered_set<size_t> ids_;
  std::unordered_set<int64_t> lines_;  // that were no requests
};

class Batch {
 public:
  Batch(const ServedModel& served, const BatchOptions& options) : served_(served), options_(options) {}

  Result<BatchProgress> Run() {
    QUIRE_TRY(input_.Open(options_.input));
    QUIRE_TRY(OpenOutput());
    for (bool more = true; more || running_ > 0;) {
      if (more && running_ <= options_.window / 2) more = FillUp();
      if (running_ > 0) {
        constexpr double kLook = 1;  // seconds
        if (const auto work = queue_->Take(kLook)) (*work)();
      }
      if (!output_) return WriteError();
      progress_.read_share = input_.share();
      options_.progress(progress_);
    }
    return progress_;
  }

 private:
  // Learns what was answered before, and cuts off a line that is not whole.
  Status OpenOutput() {
    size_t good = 0;
    if (std::filesystem::exists(options_.output)) {
      LineReader before;
      QUIRE_TRY(before.Open(options_.output));
      for (std::string line; before.Next(line) && before.whole(); good = before.read()) {
        if (line.empty()) continue;
        const auto answered = ParseBatchOutputLine(line);
        if (!answered) {
          return Fail(ErrorCode::kInvalidArgument,
                      "{}: line {} is no answer of a batch; name a new file, or that of a run to go on with",
                      options_.output, before.number());
        }
        answered->custom_id ? done_.AddId(*answered->custom_id) : done_.AddLine(answered->line);
      }
      if (truncate(options_.output.c_str(), static_cast<off_t>(good)) != 0) return WriteError();
    }
    output_.open(options_.output, std::ios::binary | std::ios::app);
    return output_ ? Status() : WriteError();
  }

  std::unexpected<Error> WriteError() const {
    return Fail(ErrorCode::kIo, "cannot write to {}: {}; what is there is kept, run again to go on",
                options_.output, std::strerror(errno));
  }

  // Reads until the engine has its fill. False at the end of the input.
  bool FillUp() {
    std::string line;
    while (running_ < options_.window && output_) {
      if (!input_.Next(line)) return false;
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      Begin(line);
    }
    return true;
  }

  void Begin(const std::string& line) {
    const int64_t number = input_.number();
    if (done_.HasLine(number)) {
      ++progress_.skipped;
      return;
    }
    auto request = ParseBatchLine(line, number);
    if (!request) {
      // An answer of an earlier run may have its id, where that was readable.
      if (request.error().custom_id && done_.HasId(*request.error().custom_id)) {
        ++progress_.skipped;
        return;
      }
      return Refuse(number, request.error());
    }
    if (done_.HasId(request->custom_id)) {
      ++progress_.skipped;
      return;
    }
    if (!begun_.AddId(request->custom_id)) {
      return Refuse(number, {std::nullopt, fmt::format("line {}: the custom_id '{}' was used before; give "
                                                       "every request one of its own",
                                                       number, request->custom_id)});
    }
    Start(std::make_shared<const BatchRequest>(std::move(*request)));
  }

  void Start(const std::shared_ptr<const BatchRequest>& asked) {
    ++running_;
    const auto exchange = std::make_shared<BatchExchange>(
        queue_, [this, asked](const HttpResponse& response) { Finish(*asked, response); });
    auto call = asked->route->read(asked->body, served_);
    if (!call) return exchange->Respond(ErrorResponse(call.error()));
    call->created = time(nullptr);
    StartGeneration(served_, *std::move(call), exchange);
  }

  void Refuse(int64_t line, const BatchLineError& error) {
    ++progress_.failed;
    Write(BatchErrorLine(line, error));
  }

  void Finish(const BatchRequest& request, const HttpResponse& response) {
    --running_;
    if (response.status == 200) {
      CountTokens(response.body);
    } else {
      ++progress_.failed;
    }
    Write(BatchAnswerLine(request, response));
  }

  void CountTokens(const std::string& body) {
    const auto json = nlohmann::ordered_json::parse(body, nullptr, false);
    if (!json.is_object() || !json.contains("usage")) return;
    const auto& usage = json["usage"];
    progress_.prompt_tokens += usage.value("prompt_tokens", int64_t{0});
    progress_.completion_tokens += usage.value("completion_tokens", int64_t{0});
    if (usage.contains("prompt_tokens_details") && usage["prompt_tokens_details"].is_object()) {
      progress_.cached_tokens += usage["prompt_tokens_details"].value("cached_tokens", int64_t{0});
    }
  }

  void Write(const std::string& line) {
    ++progress_.answered;
    output_ << line << std::flush;
  }

  const ServedModel& served_;
  const BatchOptions& options_;
  LineReader input_;
  std::ofstream output_;
  const std::shared_ptr<WorkQueue> queue_ = std::make_shared<WorkQueue>();
  Known done_, begun_;
  BatchProgress progress_;
  int64_t running_ = 0;
};

}  // namespace

Result<BatchProgress> RunBatch(const ServedModel& served, const BatchOptions& options) {
  return Batch(served, options).Run();
}

}  // namespace quire
