# cmake --install: the programs, the engine's public headers and a CMake package (find_package(ZnStore)).
include(CMakePackageConfigHelpers)
