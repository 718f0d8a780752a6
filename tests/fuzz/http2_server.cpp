// A whole HTTP/2 connection of a client, behind the preface and its first SETTINGS, which nobody gets far without.
#include "server_session.h"

using namespace vmproxy;
using fuzz::must;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  bytes.append("\0\0\0\4\0\0\0\0\0", 9);
  bytes += fuzz::text_of(data, size);
  const std::string answered = fuzz::converse(bytes);
  must(answered.size() >= 9 && answered[3] == '\4', "the first frame of an answer is SETTINGS");
  must(answered.size() <= 4096 + 64 * size, "an answer is not much larger than what was asked");
  return 0;
}
