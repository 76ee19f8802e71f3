# Compile options that every target shares, and the functions that make targets of a folder.
add_library(zn_options INTERFACE)
target_compile_options(zn_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wcast-align
                       -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 takes the unused arm of a tl::expected for uninitialised.
  target_compile_options(zn_options INTERFACE -Wno-maybe-uninitialized)
endif()
# SSE4.2 (crc32) and AVX2 are chosen at run time where they are used, so the programs run on any x86-64.
if(ZN_SANITIZE)
  target_compile_options(zn_options INTERFACE -fsanitize=${ZN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(zn_options INTERFACE -fsanitize=${ZN_SANITIZE})
endif()
if(ZN_FUZZ)
  target_compile_options(zn_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# zn_test(NAME FOLDER LIBS...): one GoogleTest program of all *_test.cc in FOLDER, as ctest NAME.
function(zn_test name folder)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*_test.cc)
  if(NOT sources)
    return()
  endif()
  add_executable(${name} ${sources})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/tests ${CMAKE_CURRENT_SOURCE_DIR}
                             ${CMAKE_BINARY_DIR}/generated)
  target_link_libraries(${name} PRIVATE zn_options ${ARGN} GTest::gtest GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
endfunction()
