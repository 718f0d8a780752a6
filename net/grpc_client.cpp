#include "net/grpc_client.h"

#include <zlib.h>

#include <charconv>

#include "net/connection_gate.h"
#include "net/grpc_connection.h"

namespace vmproxy::net {
namespace {

std::string framed(std::string_view message) {
  std::string out;
  out.reserve(message.size() + 5);
  out += '\0';
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>((message.size() >> shift) & 0xff);
  return out.append(message);
}

Result<std::string> inflated(std::string_view bytes, uint64_t bytes_max) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 32) != Z_OK) return Error(Code::internal, "no memory to inflate");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  int state = Z_OK;
  while (state == Z_OK && out.size() <= bytes_max) {
    const auto filled = out.size();
    out.resize(filled + 64 * 1024);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + filled);
    stream.avail_out = 64 * 1024;
    state = inflate(&stream, Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  if (out.size() > bytes_max)
    return Error(Code::too_large,
                 "the inflated answer is larger than " + std::to_string(bytes_max) + " bytes");
  if (state != Z_STREAM_END) return Error(Code::corrupt, "the answer's gzip data is damaged");
  return out;
}

Result<std::string> unframed(std::string_view frames, std::string_view encoding, uint64_t bytes_max) {
  if (frames.empty()) return std::string();
  if (frames.size() < 5) return Error(Code::corrupt, "a gRPC frame that ends in its head");
  uint32_t length = 0;
  for (size_t i = 1; i < 5; ++i) length = length << 8 | static_cast<uint8_t>(frames[i]);
  if (frames.size() != length + size_t{5})
    return Error(Code::corrupt, "not exactly one gRPC message in the answer");
  const auto message = frames.substr(5);
  if (frames[0] == 0) return std::string(message);
  if (frames[0] != 1 || (encoding != "gzip" && encoding != "deflate"))
    return Error(Code::corrupt,
                 "a gRPC message compressed by '" + std::string(encoding) + "', which was not offered");
  return inflated(message, bytes_max);
}

std::string grpc_timeout(Deadline deadline) {
  const auto left = std::max<int64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now())
          .count(),
      1);
  return left < 100000000 ? std::to_string(left) + "m"
                          : std::to_string(std::min<int64_t>(left / 1000, 99999999)) + "S";
}

// What gRPC makes of an answer without grpc-status.
int status_of_http(int status) {
  switch (status) {
    case 400: return 13;
    case 401: return 16;
    case 403: return 7;
    case 404: return 12;
    case 429:
    case 502:
    case 503:
    case 504: return 14;
    default: return 2;
  }
}

}  // namespace

struct GrpcClient::State {
  State(UpstreamOptions o, size_t connections_max)
      : options(std::move(o)),
        gate(connections_max),
        address(options.host + ":" + std::to_string(options.port)) {
    if (!options.tls.enabled) return;
    auto made = client_tls(options.tls, ClientProtocol::http2);
    if (made) {
      tls = *made;
    } else {
      tls_problem = made.error();
    }
  }
  Result<std::unique_ptr<GrpcConnection>> connection(Deadline deadline) {
    auto stream = BlockingStream::connect(options, tls, deadline);
    if (!stream) return stream.error();
    if (tls && !(*stream)->negotiated_http2())
      return Error(Code::refused_connection,
                   address + " does not speak HTTP/2 under TLS (ALPN). Nothing was sent.");
    return std::make_unique<GrpcConnection>(std::move(*stream));
  }
  Result<GrpcAnswer> call(const std::vector<std::pair<std::string, std::string>>& head, std::string_view body,
                          Deadline deadline, uint64_t bytes_max);
  Result<GrpcAnswer> answer_of(GrpcConnection::Call& call, uint64_t bytes_max) const;

  const UpstreamOptions options;
  ConnectionGate<GrpcConnection> gate;
  const std::string address;
  TlsContext tls;
  std::optional<Error> tls_problem;
};

GrpcClient::GrpcClient(UpstreamOptions options, size_t connections_max)
    : state_(std::make_unique<State>(std::move(options), connections_max)) {}
GrpcClient::~GrpcClient() = default;

Result<GrpcAnswer> GrpcClient::send(const std::string& path, const Headers& metadata,
                                    std::string_view message, Deadline deadline, uint64_t bytes_max) {
  State& state = *state_;
  if (state.tls_problem) return Error(Code::refused_connection, state.tls_problem->message);
  if (message.size() > UINT32_MAX)
    return Error(Code::invalid, "a message of more than 4 GiB. Nothing was sent.");
  if (!state.gate.enter(deadline))
    return Error(Code::refused_connection,
                 "all connections to " + state.address + " were busy until the deadline. Nothing was sent.");
  const bool ipv6 = state.options.host.find(':') != std::string::npos;
  std::vector<std::pair<std::string, std::string>> head = {
      {":method", "POST"},
      {":scheme", state.options.tls.enabled ? "https" : "http"},
      {":path", path},
      {":authority", (ipv6 ? "[" + state.options.host + "]" : state.options.host) + ":" +
                         std::to_string(state.options.port)},
      {"te", "trailers"},
      {"content-type", "application/grpc"},
      {"grpc-accept-encoding", "identity,gzip"}};
  if (!metadata.find("grpc-timeout")) head.emplace_back("grpc-timeout", grpc_timeout(deadline));
  for (const auto& [name, value] : metadata.all()) {
    std::string lower = name;
    for (auto& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    head.emplace_back(std::move(lower), value);
  }
  const std::string body = framed(message);
  auto answer = state.call(head, body, deadline, bytes_max);
  state.gate.leave();
  return answer;
}

Result<GrpcAnswer> GrpcClient::State::call(const std::vector<std::pair<std::string, std::string>>& head,
                                           std::string_view body, Deadline deadline, uint64_t bytes_max) {
  for (;;) {
    auto connection = gate.take();
    const bool reused = connection != nullptr;
    if (reused && !connection->still_usable()) continue;
    if (!reused) {
      auto made = this->connection(deadline);
      if (!made) return made.error();
      connection = std::move(*made);
    }
    GrpcConnection::Call call;
    call.body = body;
    call.answer_bytes_max = bytes_max;
    auto ran = connection->run(head, call, deadline);
    if (!ran && reused && call.sent == 0 && ran.error().code == Code::connection_lost)
      continue;  // it was dead: not one byte left
    if (!ran && !call.closed)
      return Error(ran.error().code,
                   address + ": " + ran.error().message + ". The call may have been executed there.");
    if (call.refused())
      return Error(Code::refused_connection,
                   address + " refused the call before executing it. It can be made again.");
    if (call.too_large)
      return Error(Code::too_large, "the answer of " + address + " is larger than " +
                                        std::to_string(bytes_max) + " bytes. The call was executed there.");
    if (!call.head_seen || (call.error != NGHTTP2_NO_ERROR && !call.trailers.find("grpc-status"))) {
      return Error(Code::connection_lost, address +
                                              " broke the call off: " + nghttp2_http2_strerror(call.error) +
                                              ". It may have been executed there.");
    }
    if (ran) gate.put_back(std::move(connection), options.idle_max);
    return answer_of(call, bytes_max);
  }
}

Result<GrpcAnswer> GrpcClient::State::answer_of(GrpcConnection::Call& call, uint64_t bytes_max) const {
  GrpcAnswer answer;
  answer.headers = std::move(call.headers);
  answer.trailers = std::move(call.trailers);
  auto status = answer.trailers.find("grpc-status");
  auto text = answer.trailers.find("grpc-message");
  if (!status) {  // an answer of trailers only
    status = answer.headers.find("grpc-status");
    text = answer.headers.find("grpc-message");
  }
  if (!status ||
      std::from_chars(status->data(), status->data() + status->size(), answer.status).ec != std::errc()) {
    answer.status = status_of_http(call.status);
    answer.message = address + " answered HTTP " + std::to_string(call.status) + " without a gRPC status";
    return answer;
  }
  if (text) answer.message = percent_decode(*text);
  if (answer.status != 0) return answer;
  auto body = unframed(call.answer, answer.headers.find("grpc-encoding").value_or("identity"), bytes_max);
  if (!body) return body.error().within(address);
  answer.body = std::move(*body);
  return answer;
}

}  // namespace vmproxy::net
