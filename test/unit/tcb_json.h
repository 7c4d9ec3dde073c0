/* tcb_json.h - levels of Intel's documents, as JSON, with the numbers of a test in them. */
#ifndef TEST_TCB_JSON_H
#define TEST_TCB_JSON_H

#define ZEROS10                                                                             \
    ",{\"svn\":0},{\"svn\":0},{\"svn\":0},{\"svn\":0},{\"svn\":0},{\"svn\":0},{\"svn\":0}," \
    "{\"svn\":0},{\"svn\":0},{\"svn\":0}"
#define SIX(a) \
    "[{\"svn\":" #a "},{\"svn\":0},{\"svn\":2},{\"svn\":2},{\"svn\":2},{\"svn\":2}" ZEROS10 "]"
#define LEVEL(sgx, pce, tdx, status, more)                                                       \
    "{\"tcb\":{\"sgxtcbcomponents\":" SIX(sgx) ",\"pcesvn\":" #pce ",\"tdxtcbcomponents\":" SIX( \
        tdx) "},\"tcbDate\":\"2024-03-13T00:00:00Z\","                                           \
             "\"tcbStatus\":\"" status "\"" more "}"
#define SVN(n, status, more)                                                                    \
    "{\"tcb\":{\"isvsvn\":" #n "},\"tcbDate\":\"2024-03-13T00:00:00Z\",\"tcbStatus\":\"" status \
    "\"" more "}"
#define MODULE(id, levels)                                                                    \
    "{\"id\":\"" id "\",\"mrsigner\":\""                                                      \
    "000000000000000000000000000000000000000000000000"                                        \
    "000000000000000000000000000000000000000000000000\",\"attributes\":\"0000000000000000\"," \
    "\"attributesMask\":\"FFFFFFFFFFFFFFFF\",\"tcbLevels\":[" levels "]}"

#endif
