# quire::jinja, the engine that renders chat templates: llama.cpp's common/jinja (MIT), fetched by
# tools/fetch.py jinja and never part of this repository. It is made for templates one trusts; the edits
# below bound the work and memory of a hostile one (cmake/jinja/budget.h) and remove two quadratic loops and a
# division by zero. An edit that no longer matches stops the configuration.
set(QUIRE_JINJA_DIR ${CMAKE_SOURCE_DIR}/.cache/deps/jinja-11434 CACHE PATH "Where the template engine was unpacked")
if(NOT EXISTS ${QUIRE_JINJA_DIR}/common/jinja/runtime.cpp)
  message(FATAL_ERROR "The chat template engine is not in ${QUIRE_JINJA_DIR}: run tools/fetch.py jinja, "
                      "then configure again.")
endif()

set(_jinja_out ${CMAKE_BINARY_DIR}/jinja)
set(_jinja_files jinja/lexer.cpp jinja/lexer.h jinja/parser.cpp jinja/parser.h jinja/runtime.cpp jinja/runtime.h
    jinja/string.cpp jinja/string.h jinja/utils.h jinja/value.cpp jinja/value.h unicode.cpp unicode.h)
foreach(file ${_jinja_files})
  file(READ ${QUIRE_JINJA_DIR}/common/${file} _jinja_text_${file})
endforeach()

# quire_jinja_edit(file from to): replaces every occurrence of `from`, of which there must be one at least.
function(quire_jinja_edit file from to)
  string(FIND "${_jinja_text_${file}}" "${from}" _jinja_at)
  if(_jinja_at EQUAL -1)
    message(FATAL_ERROR "${QUIRE_JINJA_DIR}/common/${file} is not the version that cmake/QuireJinja.cmake knows: "
                        "remove the folder and run tools/fetch.py jinja.")
  endif()
  string(REPLACE "${from}" "${to}" _jinja_text "${_jinja_text_${file}}")
  set(_jinja_text_${file} "${_jinja_text}" PARENT_SCOPE)
endfunction()

set(_budget "quire::jinja_budget")
set(_include "#include \"budget.h\"\n")

# Every node of the template is a step, and pays for the value it makes.
quire_jinja_edit(jinja/utils.h "#include <string>\n" "#include <string>\n${_include}")
quire_jinja_edit(jinja/runtime.cpp "    try {\n        return execute_impl(ctx);"
                 "    ${_budget}::Step step;\n    try {\n        return ${_budget}::Charged(execute_impl(ctx));")
# Functions that walk values recursively: a value may contain itself, or one part a million times.
set(_visit "${_budget}::Visit visit(val);")
quire_jinja_edit(jinja/runtime.h "value & val, value_string & parts) {\n" "value & val, value_string & parts) {\n    ${_visit}\n")
quire_jinja_edit(jinja/value.cpp "std::string_view key_sep) {\n    auto indent_str"
                 "std::string_view key_sep) {\n    ${_visit}\n    auto indent_str")
quire_jinja_edit(jinja/value.cpp "std::string value_to_string_repr(const value & val) {\n"
                 "std::string value_to_string_repr(const value & val) {\n    ${_visit}\n")
quire_jinja_edit(jinja/value.h "is_hashable() const override {\n        if (std::all_of("
                 "is_hashable() const override {\n        ${_budget}::Charge(64);\n        if (std::all_of(")
# A value knows how deep it is.
quire_jinja_edit(jinja/value.h "struct value_t {\n" "struct value_t {\n    unsigned depth = 0;\n")
quire_jinja_edit(jinja/value.h "name(name), arg0(arg_this) {\n" "name(name), arg0(arg_this) {\n        depth = arg0->depth + 1;\n")
# Changes of a container, after which it may contain itself and never be freed.
quire_jinja_edit(jinja/runtime.cpp "obj_ptr->insert(prop_name, rhs);" "obj_ptr->insert(prop_name, rhs);
        ${_budget}::AtEnd(obj_ptr, [object, obj_ptr] { obj_ptr->val_obj.clear(); obj_ptr->unordered.clear(); });")
quire_jinja_edit(jinja/value.cpp "arr_editable->push_back(args.get_pos(1));" "arr_editable->push_back(args.get_pos(1));
            value keep = args.get_pos(0);
            ${_budget}::Contains(keep, args.get_pos(1));
            ${_budget}::AtEnd(arr_editable, [keep, arr_editable] { arr_editable->val_arr.clear(); });")
# Operations whose result can be far larger than their operands pay beforehand.
quire_jinja_edit(jinja/value.cpp "out->push_back(mk_val<value_int>(i));"
                 "${_budget}::Charge(sizeof(value_int_t)); out->push_back(mk_val<value_int>(i));")
quire_jinja_edit(jinja/runtime.cpp "        for (int64_t i = 0; i < repeat; ++i) {\n"
                 "        ${_budget}::Charge(repeat, str.length() + 64);\n        for (int64_t i = 0; i < repeat; ++i) {\n")
quire_jinja_edit(jinja/value.cpp "new_res.reserve(" "${_budget}::Charge(str.length() + 1, new_str.length() + 1); new_res.reserve(")
quire_jinja_edit(jinja/utils.h "builder.append(replace);" "${_budget}::Charge(replace.size()); builder.append(replace);")
quire_jinja_edit(jinja/value.cpp "indent.assign(val_width->as_int(), ' ');"
                 "${_budget}::Charge(val_width->as_int(), 1); indent.assign(val_width->as_int(), ' ');")
quire_jinja_edit(jinja/value.cpp "indented += indent;" "${_budget}::Charge(indent.size()); indented += indent;")
quire_jinja_edit(jinja/value.cpp "result += delim;" "${_budget}::Charge(delim.size()); result += delim;")
quire_jinja_edit(jinja/value.cpp "indent = static_cast<int>(val_indent->as_int());"
                 "indent = static_cast<int>(std::clamp<int64_t>(val_indent->as_int(), -1, 64));")
# Linear instead of quadratic: replace, and split from the left.
quire_jinja_edit(jinja/value.cpp "                    while ((pos = str.find(old_str, pos)) != std::string::npos) {
                        str.replace(pos, old_str.length(), new_str);
                        pos += new_str.length();
                    }\n" "                    string_replace_all(str, old_str, new_str);\n")
quire_jinja_edit(jinja/value.cpp "            while ((pos = str.find(delim)) != std::string::npos && maxsplit != 0) {
                token = str.substr(0, pos);
                result->push_back(mk_val<value_string>(token));
                str.erase(0, pos + delim.length());
                --maxsplit;
            }\n" "            size_t begin = 0;
            while ((pos = str.find(delim, begin)) != std::string::npos && maxsplit != 0) {
                token = str.substr(begin, pos - begin);
                ${_budget}::Charge(sizeof(value_string_t));
                result->push_back(mk_val<value_string>(token));
                begin = pos + delim.length();
                --maxsplit;
            }
            str.erase(0, begin);\n")
# The tables of functions were copied for every name looked up.
quire_jinja_edit(jinja/runtime.cpp "auto builtins = " "const auto & builtins = ")
# A length counts characters, as in Python, not bytes.
quire_jinja_edit(jinja/value.cpp "return mk_val<value_int>(str.length());"
                 "const std::string bytes = str.str();
            return mk_val<value_int>(std::count_if(bytes.begin(), bytes.end(), [](char c) { return (c & 0xC0) != 0x80; }));")
quire_jinja_edit(jinja/value.cpp "            bool res = args.get_pos(0)->val_int % args.get_pos(1)->val_int == 0;"
                 "            if (args.get_pos(1)->val_int == 0) throw raised_exception(\"division by zero\");
            bool res = args.get_pos(1)->val_int == -1 || args.get_pos(0)->val_int % args.get_pos(1)->val_int == 0;")

set(_jinja_sources)
foreach(file ${_jinja_files})
  file(CONFIGURE OUTPUT ${_jinja_out}/${file} CONTENT "@_jinja_text_${file}@" @ONLY)
  if(file MATCHES "\\.cpp$")
    list(APPEND _jinja_sources ${_jinja_out}/${file})
  endif()
endforeach()

add_library(quire_jinja STATIC ${_jinja_sources})
add_library(quire::jinja ALIAS quire_jinja)
target_include_directories(quire_jinja SYSTEM PUBLIC ${CMAKE_SOURCE_DIR}/cmake/jinja ${_jinja_out})
target_link_libraries(quire_jinja PUBLIC nlohmann_json::nlohmann_json PRIVATE quire_flags)
# Its assertions end the process on templates that its checks refuse a moment later.
target_compile_options(quire_jinja PRIVATE -w)
target_compile_definitions(quire_jinja PRIVATE NDEBUG)
