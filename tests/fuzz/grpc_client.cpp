// The drivers' gRPC client towards a database that answers with anything.
#include "net/grpc_client.h"

#include "hostile_server.h"

using namespace vmproxy;
using fuzz::must;

namespace {

size_t bytes_of(const net::Headers& headers) {
  size_t bytes = 0;
  for (const auto& [name, value] : headers.all()) bytes += name.size() + value.size();
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint64_t bytes_max = 64 * 1024;
  auto& server = fuzz::HostileServer::instance();
  server.say(fuzz::text_of(data, size));
  net::GrpcClient client(server.options(), 1);
  const auto answer = client.send("/package.Service/Method", {{"dbname", "d"}}, "message",
                                  std::chrono::steady_clock::now() + std::chrono::seconds(5), bytes_max);
  if (!answer) {
    must(answer.error().code != Code::timeout, "a server that hung up is not waited for");
    return 0;
  }
  must(answer->body.size() <= bytes_max, "a message within its bound");
  must(answer->status == 0 || answer->body.empty(), "no message beside a failure");
  must(bytes_of(answer->headers) <= 256 * 1024 && bytes_of(answer->trailers) <= 256 * 1024,
       "the fields of an answer are within their bound, however small they were packed");
  return 0;
}
