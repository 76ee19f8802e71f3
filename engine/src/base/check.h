// Assertions that hold in every build.
#pragma once

#include <cstdio>
#include <cstdlib>

/// Aborts, saying where, when `condition` is false: only for what is a bug, or an exhausted
/// machine.
#define ZN_CHECK(condition)                                                              \
  do {                                                                                   \
    if (!(condition)) [[unlikely]] {                                                     \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)
