# Compiler settings shared by every target.

# The arithmetic asks for more itself (kernels/CMakeLists.txt); for the rest -O3 only costs build time.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

find_program(QUIRE_CCACHE ccache)
if(QUIRE_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${QUIRE_CCACHE})
endif()

add_library(quire_flags INTERFACE)
target_compile_options(quire_flags INTERFACE -Wall -Wextra -Wno-unused-parameter -fno-omit-frame-pointer)
target_include_directories(quire_flags INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
if(QUIRE_SANITIZE)
  target_compile_options(quire_flags INTERFACE -fsanitize=${QUIRE_SANITIZE} -fno-sanitize-recover=all)
  target_compile_definitions(quire_flags INTERFACE QUIRE_SANITIZED)
  target_link_options(quire_flags INTERFACE -fsanitize=${QUIRE_SANITIZE})
else()
  # The released program is one portable file: only glibc stays dynamic.
  target_link_options(quire_flags INTERFACE -static-libstdc++ -static-libgcc)
endif()
