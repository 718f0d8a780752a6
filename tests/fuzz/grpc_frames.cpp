// The body of a gRPC call as dialects take it apart; the first line of an input is its grpc-encoding.
#include "protocols/wire/grpc.h"
#include "tests/fuzz/target.h"

using namespace vmproxy;
using namespace vmproxy::protocols::wire;
using fuzz::must;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint64_t bytes_max = 64 * 1024;
  const auto [encoding, body] = fuzz::first_line(fuzz::text_of(data, size));
  const auto messages = grpc_messages(body, encoding, bytes_max);
  const auto one = grpc_message(body, encoding, bytes_max);
  must(one.has_value() == (messages && messages->size() == 1), "a unary call has one message");
  if (messages) {
    std::string again;
    for (const auto& message : *messages) {
      must(message.size() <= bytes_max, "a message within its bound");
      again += grpc_frame(message);
    }
    must(grpc_messages(again, "", bytes_max).value() == *messages, "what was framed is found again");
  } else {
    // too_large: of an answer it would say that the call was done.
    const vmproxy::Error& error = messages.error();
    must(error.surely_not_done() || error.code == vmproxy::Code::too_large,
         "a request that cannot be read is not done");
  }
  const auto inflated = gunzip(body, bytes_max);
  must(!inflated || inflated->size() <= bytes_max, "inflated within its bound");
  const std::string text = grpc_encode_text(body);
  must(grpc_decode_text(text) == body, "a text comes back");
  for (const char c : text) must(c >= 0x20 && c < 0x7f, "as a field it is printable");
  (void)grpc_decode_text(encoding);
  must(grpc_code(encoding) <= GrpcCode::unauthenticated, "a status that exists");
  return 0;
}
