#include "quire/server/call_routes.h"

#include "quire/server/chat.h"
#include "quire/server/completions.h"

namespace quire {
namespace {
constexpr CallRoute kRoutes[] = {
    {"/v1/completions", ReadCompletion},
    {"/v1/chat/completions", ReadChat},
};
}  // namespace

std::span<const CallRoute> CallRoutes() { return kRoutes; }

}  // namespace quire
