# qiao_room(base SOURCES err.c buf.c LIBS sodium)      a static library
# qiao_room(wire SOURCES frame.c USES base LIBS nng)   USES states the floor; nothing else is seen
function(qiao_room name)
    cmake_parse_arguments(ROOM "" "" "SOURCES;USES;LIBS" ${ARGN})
    add_library(${name} STATIC ${ROOM_SOURCES})
    target_link_libraries(${name} PUBLIC qiao_flags ${ROOM_USES} ${ROOM_LIBS})
endfunction()

# qiao_program(qiao-node SOURCES main.c USES node base)   a program in <build>/bin
function(qiao_program name)
    cmake_parse_arguments(PROGRAM "" "" "SOURCES;USES;LIBS" ${ARGN})
    add_executable(${name} ${PROGRAM_SOURCES})
    target_link_libraries(${name} PRIVATE qiao_flags ${PROGRAM_USES} ${PROGRAM_LIBS})
endfunction()

# qiao_test(unit/base/err base)   builds tests/unit/base/err_test.c as the ctest unit.base.err
function(qiao_test path)
    string(REPLACE "/" "." name ${path})
    add_executable(${name} ${PROJECT_SOURCE_DIR}/tests/${path}_test.c)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_link_libraries(${name} PRIVATE ${ARGN} qiao_flags cmocka)
    add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES TIMEOUT 900)
    if(QIAO_SANITIZE MATCHES thread)
        set_tests_properties(${name} PROPERTIES ENVIRONMENT
            "TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/tsan.supp")
    endif()
endfunction()
