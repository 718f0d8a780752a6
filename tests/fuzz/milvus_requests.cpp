// Calls of Milvus' API: the first line of an input is the call's name, the rest its message.
#include "backend.h"
#include "milvus_books.h"
#include "protocols/milvus/dialect.h"
#include "protocols/wire/grpc.h"
#include "protocols/wire/protobuf.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using fuzz::must;

namespace {

Catalog catalog() {
  Catalog out;
  out.spaces.push_back({"default", {}});
  out.server = model::Object{{"version", "v2.5.1"}};
  out.collections.push_back(milvus::to_schema(fuzz::books_shown()));
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const milvus::MilvusDialect dialect("x-token");
  static const Catalog known = catalog();
  const auto [call, message] = fuzz::first_line(fuzz::text_of(data, size));
  fuzz::YesBackend backend(known, {fuzz::book(1), fuzz::book(2)});
  const net::Request request{"POST",
                             "/milvus.proto.milvus.MilvusService/" + std::string(call),
                             {{"content-type", "application/grpc"}, {"authorization", "token"}},
                             wire::grpc_frame(message)};
  const auto answer = fuzz::ask(dialect, request, backend);
  if (!answer) return 0;
  const bool headless = answer->headers.find("grpc-status").has_value();
  must(answer->status == 200 && (headless || answer->trailers.find("grpc-status")),
       "a call ends with its status");
  if (answer->body.empty()) return 0;
  const auto answered = wire::grpc_message(answer->body, "", uint64_t{1} << 30);
  must(answered.has_value(), "an answer is one message");
  wire::ProtoReader reader(*answered);
  while (reader.next()) {
  }
  must(reader.ok(), "that can be read");
  return 0;
}
