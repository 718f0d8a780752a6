// The drivers' HTTP/1.1 client towards a database that answers with anything.
#include "hostile_server.h"
#include "net/http1_head.h"
#include "net/http_client.h"

using namespace vmproxy;
using fuzz::must;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint64_t bytes_max = 64 * 1024;
  auto& server = fuzz::HostileServer::instance();
  server.say(fuzz::text_of(data, size));
  net::HttpClient client(server.options(), 1);
  const auto answer = client.send({size % 2 == 0 ? "GET" : "POST", "/", {}, ""},
                                  std::chrono::steady_clock::now() + std::chrono::seconds(5), bytes_max);
  if (!answer) {
    must(!answer.error().surely_not_done(), "what was sent may have been done");
    must(answer.error().code != Code::timeout, "a server that hung up is not waited for");
    return 0;
  }
  must(answer->status >= 200 && answer->status <= 599, "a status");
  must(answer->body.size() <= bytes_max && answer->body.size() <= size, "a body within its bound");
  for (const auto& [name, value] : answer->headers.all())
    must(net::is_token(name) && net::is_field_value(value), "a field is one line");
  return 0;
}
