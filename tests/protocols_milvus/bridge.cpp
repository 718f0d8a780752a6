// The dialect as a process: sdk_test.py serves gRPC in front of it, so that the vendors' SDKs can talk to
// serve(). stdin: lengths (4 bytes little-endian) and bytes of path, database metadata, body; stdout: status,
// text, body.
#include <cstring>
#include <iostream>

#include "memory_backend.h"
#include "protocols/milvus/milvus.h"

using namespace vmproxy;

namespace {

bool read_block(std::string& out) {
  uint32_t length = 0;
  if (!std::cin.read(reinterpret_cast<char*>(&length), sizeof length)) return false;
  out.resize(length);
  return length == 0 || static_cast<bool>(std::cin.read(out.data(), length));
}

void write_block(std::string_view block) {
  const auto length = static_cast<uint32_t>(block.size());
  std::cout.write(reinterpret_cast<const char*>(&length), sizeof length);
  std::cout.write(block.data(), length);
}

}  // namespace

int main() {
  const auto dialect = protocols::milvus::system().make_dialect({});
  protocols::milvus::test::MemoryBackend backend;
  std::string path, database, body;
  while (read_block(path) && read_block(database) && read_block(body)) {
    net::RequestHead head;
    head.method = "POST";
    head.target = path;
    head.http2 = true;
    net::Request request{"POST", path, {{"dbname", database}, {"content-type", "application/grpc"}}, body};
    const auto* row = dialect->classify(head);
    net::Response response = dialect->error(Error(Code::not_found, path), head);
    if (row != nullptr && row->cls != protocols::OperationClass::unknown) {
      auto served = dialect->serve(*row, request, backend);
      response = served ? std::move(*served) : dialect->error(served.error(), head);
    }
    write_block(response.trailers.find("grpc-status").value_or("13"));
    write_block(response.trailers.find("grpc-message").value_or(""));
    write_block(response.body);
    std::cout.flush();
  }
}
