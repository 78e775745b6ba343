# argosy_layer(NAME [USES layer...] [LIBRARIES outside...] [WITHOUT file...])
# The static library argosy_NAME from src/NAME/*.cpp. USES are layers below (public, since headers
# show them); LIBRARIES stay private to the layer's .cpp files.
function(argosy_layer NAME)
  cmake_parse_arguments(ARG "" "" "USES;LIBRARIES;WITHOUT" ${ARGN})
  file(GLOB SOURCES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${NAME}/*.cpp)
  list(TRANSFORM ARG_WITHOUT PREPEND ${CMAKE_SOURCE_DIR}/src/)
  list(REMOVE_ITEM SOURCES ${ARG_WITHOUT} "")
  string(REPLACE "/" "_" TARGET ${NAME})
  add_library(argosy_${TARGET} STATIC ${SOURCES})
  target_include_directories(argosy_${TARGET} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  list(TRANSFORM ARG_USES PREPEND argosy_)
  target_link_libraries(argosy_${TARGET} PUBLIC ${ARG_USES} PRIVATE ${ARG_LIBRARIES})
endfunction()
