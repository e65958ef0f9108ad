// The JSON type that the template engine converts its input from. The engine asks for its own "json.h"; this
// one stands before it in the include path and gives it the JSON type the rest of Quire uses.
#ifndef QUIRE_CMAKE_JINJA_JSON_H_
#define QUIRE_CMAKE_JINJA_JSON_H_

#include <nlohmann/json.hpp>

using common_json = nlohmann::ordered_json;

#endif  // QUIRE_CMAKE_JINJA_JSON_H_
