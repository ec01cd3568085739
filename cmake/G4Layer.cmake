# g4_layer(NAME SOURCES a.cpp ... DEPENDS base tensor ...): one folder of src/, an object library that sees only the
# layers it names. All layers together become the shared library g4core (src/CMakeLists.txt).
function(g4_layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(g4_${name} OBJECT ${ARG_SOURCES})
  target_link_libraries(g4_${name} PUBLIC g4_settings)
  foreach(dependency IN LISTS ARG_DEPENDS)
    target_link_libraries(g4_${name} PUBLIC g4_${dependency})
  endforeach()
  set_property(GLOBAL APPEND PROPERTY G4_LAYERS g4_${name})
endfunction()

# g4_test(NAME SOURCES a.cpp ...): a C++ test program registered with ctest.
function(g4_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(test_${name} ${ARG_SOURCES})
  target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(test_${name} PRIVATE g4_settings g4core ${ARG_LIBS})
  add_test(NAME ${name} COMMAND test_${name})
endfunction()
