#include "quire/files/gguf_model.h"

#include <optional>
#include <utility>

#include "quire/files/quoted.h"
#include "quire/files/release_tensor.h"
#include "quire/files/split_name.h"

namespace quire {
namespace {

// An absent integer key counts as `fallback`.
Result<int64_t> IntegerOr(const GgufFile& file, const std::string& path, std::string_view key,
                          int64_t fallback) {
  auto value = file.metadata.Integer(key);
  if (!value) return Fail(value.error().code, "{}: {}", path, value.error().message);
  return value->value_or(fallback);
}

// That `file`, found at `path`, says of itself to be part `number` (from 0) of `count`.
Status CheckPart(const GgufFile& file, const std::string& path, int64_t number, int64_t count) {
  QUIRE_ASSIGN(const int64_t its_number, IntegerOr(file, path, "split.no", -1));
  QUIRE_ASSIGN(const int64_t its_count, IntegerOr(file, path, "split.count", -1));
  if (its_number == number && its_count == count) return {};
  return Fail(
      ErrorCode::kCorrupt,
      "{}: split.no and split.count are {} and {}, expected {} and {}; the parts are not of one model", path,
      its_number, its_count, number, count);
}

}  // namespace

Result<std::unique_ptr<ModelFiles>> GgufModel::Open(const std::string& path) {
  auto model = std::make_unique<GgufModel>();
  model->path_ = path;
  QUIRE_ASSIGN(GgufFile first, GgufFile::Open(path));
  model->parts_.push_back(std::move(first));
  QUIRE_TRY(model->AddTensors(model->parts_.front()));
  QUIRE_TRY(model->OpenOtherParts());
  return model;
}

Status GgufModel::OpenOtherParts() {
  QUIRE_ASSIGN(const int64_t count, IntegerOr(parts_.front(), path_, "split.count", 1));
  if (count <= 1) return {};
  const std::optional<SplitName> name = ParseSplitName(path_);
  if (!name || name->count != count) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "{}: split.count is {}, expected a file name that ends in -00001-of-{:05}.gguf; give the file its "
        "original name",
        path_, count, count);
  }
  if (name->number != 1) {
    return Fail(ErrorCode::kInvalidArgument, "{}: this is part {} of {}; open the first part, {}", path_,
                name->number, count, name->Part(1));
  }
  QUIRE_TRY(CheckPart(parts_.front(), path_, 0, count));
  for (int number = 2; number <= count; ++number) {
    const std::string path = name->Part(number);
    auto part = GgufFile::Open(path);
    if (!part && part.error().code == ErrorCode::kNotFound) {
      return Fail(ErrorCode::kNotFound, "{}: part {} of {} is missing, expected it next to {}", path, number,
                  count, path_);
    }
    if (!part) return std::unexpected(std::move(part).error());
    QUIRE_TRY(CheckPart(*part, path, number - 1, count));
    QUIRE_TRY(AddTensors(*part));
    parts_.push_back(std::move(*part));
  }
  const auto found = static_cast<int64_t>(tensors_.size());
  QUIRE_ASSIGN(const int64_t expected, IntegerOr(parts_.front(), path_, "split.tensors.count", found));
  if (found == expected) return {};
  return Fail(ErrorCode::kCorrupt,
              "{}: split.tensors.count is {}, but all {} parts together have {} tensors; get the "
              "model again",
              path_, expected, count, found);
}

Status GgufModel::AddTensors(const GgufFile& part) {
  for (const auto& [name, view] : part.tensors) {
    if (!tensors_.emplace(name, view).second) {
      return Fail(ErrorCode::kCorrupt, "{}: tensor {} is in an earlier part too, expected it once",
                  part.file.path(), Quoted(name));
    }
  }
  return {};
}

const TensorView* GgufModel::Find(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second;
}

std::vector<std::string> GgufModel::TensorNames() const {
  std::vector<std::string> names;
  names.reserve(tensors_.size());
  for (const auto& [name, view] : tensors_) names.push_back(name);
  return names;
}

void GgufModel::Release(const TensorView& tensor) const {
  for (const GgufFile& part : parts_) ReleaseFrom(part.file, tensor);
}

Result<std::string> GgufModel::Text(std::string_view file_name) const {
  return Fail(ErrorCode::kNotFound, "{}: a GGUF model has no file {}", path_, Quoted(file_name));
}

}  // namespace quire
