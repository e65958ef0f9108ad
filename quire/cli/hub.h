// Models on a Hugging Face hub: what a name means, which files of a repository make the model, and where they
// are.
#ifndef QUIRE_CLI_HUB_H_
#define QUIRE_CLI_HUB_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "quire/base/result.h"
#include "quire/cli/digest.h"
#include "quire/cli/http_client.h"

namespace quire {

// "org/repo", "org/repo:Q4_K_M" or "org/repo/folder/file.gguf".
struct HubName {
  std::string repository;  // "org/repo"
  std::string tag;         // "Q4_K_M"
  std::string file;        // "folder/file.gguf"
};

// Nothing when it is no name of that form.
std::optional<HubName> ParseHubName(const std::string& text);

struct HubFile {
  std::string path;  // in the repository
  std::optional<uint64_t> bytes;
  std::optional<Checksum> checksum;
};

struct Hub {
  std::string endpoint;  // "https://host"
  std::string revision;  // "main"
  std::string token;     // sent to the endpoint only; may be empty

  HeaderList Headers() const;
  // Errors: kNotFound, kInvalidArgument (login wanted), kUnavailable, kCorrupt.
  Result<std::vector<HubFile>> ListFiles(const HttpClient& client, const std::string& repository) const;
  Result<Url> FileUrl(const std::string& repository, const std::string& path) const;
};

// The files to download: one GGUF file with all its parts, or a folder of safetensors with its JSON files.
// Without a tag, the only GGUF file, or the one with Q4_K_M, or else the safetensors. Errors: kNotFound,
// listing what there is.
Result<std::vector<HubFile>> ChooseFiles(const HubName& name, const std::vector<HubFile>& files);

}  // namespace quire

#endif  // QUIRE_CLI_HUB_H_
