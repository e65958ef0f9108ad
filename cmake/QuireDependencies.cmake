# External libraries, all from Debian. Archives are linked statically so that the program is one file.
set(_quire_suffixes ${CMAKE_FIND_LIBRARY_SUFFIXES})
if(NOT QUIRE_SANITIZE)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
  set(OPENSSL_USE_STATIC_LIBS ON)
endif()

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(Boost 1.81 REQUIRED)  # Asio and Beast: headers only

# quire_archive(name library header): an imported target quire::<name> for a library without CMake package.
function(quire_archive name library header)
  find_library(QUIRE_LIB_${name} ${library} REQUIRED)
  find_path(QUIRE_INCLUDE_${name} ${header} REQUIRED)
  add_library(quire::${name} INTERFACE IMPORTED GLOBAL)
  target_link_libraries(quire::${name} INTERFACE ${QUIRE_LIB_${name}})
  target_include_directories(quire::${name} INTERFACE ${QUIRE_INCLUDE_${name}})
endfunction()
quire_archive(pcre2 pcre2-8 pcre2.h)
quire_archive(utf8proc utf8proc utf8proc.h)
quire_archive(lmdb lmdb lmdb.h)
quire_archive(xxhash xxhash xxhash.h)
quire_archive(zstd zstd zstd.h)
# Line editing. The archive names its own needs nowhere: libbsd (and libmd below it) and terminfo.
quire_archive(md md md5.h)
quire_archive(bsd bsd bsd/vis.h)
quire_archive(tinfo tinfo term.h)
quire_archive(edit edit histedit.h)
target_link_libraries(quire::edit INTERFACE quire::bsd quire::md quire::tinfo)

set(CMAKE_FIND_LIBRARY_SUFFIXES ${_quire_suffixes})
if(QUIRE_TESTS)
  find_package(GTest REQUIRED)
endif()
