# cmake --install: the programs, the engine's public headers and a CMake package (find_package(ZnStore)) with the target
# zn::engine. Only the engine is meant to be embedded; formats and server are parts of the programs.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/ZnStore)

foreach(program zn-import zn-export zn-fsck zn-collect zn-backup zn-server)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()

file(GLOB public_headers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/engine/include/zn/engine/*.h)
target_sources(zn_engine_headers INTERFACE
  FILE_SET HEADERS BASE_DIRS ${CMAKE_SOURCE_DIR}/engine/include FILES ${public_headers})
set_target_properties(zn_engine PROPERTIES EXPORT_NAME engine)
set_target_properties(zn_engine_headers PROPERTIES EXPORT_NAME engine_headers)
target_compile_features(zn_engine_headers INTERFACE cxx_std_20)

install(TARGETS zn_engine zn_engine_headers EXPORT ZnStoreTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT ZnStoreTargets NAMESPACE zn:: DESTINATION ${package_dir})
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/ZnStoreConfig.cmake.in
                              ${CMAKE_BINARY_DIR}/ZnStoreConfig.cmake INSTALL_DESTINATION ${package_dir})
# Until 1.0 the headers may change with every minor version.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/ZnStoreConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/ZnStoreConfig.cmake ${CMAKE_BINARY_DIR}/ZnStoreConfigVersion.cmake
        DESTINATION ${package_dir})
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
