// gRPC over HTTP/2 through the real client, server and upstream sessions, cut at every byte.
#include "net/grpc_client.h"
#include "sweep.h"

using namespace vmproxy;
using namespace vmproxy::net_cuts;

namespace {

Outcome call(uint16_t port, const std::string& body) {
  net::GrpcClient client(at(port), 1);
  auto answer = client.send("/cuts.Echo/Echo", {}, body, std::chrono::steady_clock::now() + 10s);
  Outcome outcome;
  if (!answer) {
    outcome.error = answer.error();
  } else if (answer->status == 0) {
    outcome.whole = true;
    outcome.body = answer->body;
  } else {
    outcome.error = told(answer->message);
  }
  return outcome;
}

}  // namespace

TEST_CASE("a gRPC answer cut at any byte between database and proxy") {
  for (const bool hold : {false, true}) {
    for (const auto cut : {Cut::fin, Cut::reset})
      sweep(call, hold, Place::behind_proxy, Direction::to_client, cut, body_bytes);
  }
}

TEST_CASE("a gRPC request cut at any byte between proxy and database") {
  for (const bool hold : {false, true}) {
    for (const auto cut : {Cut::fin, Cut::reset})
      sweep(call, hold, Place::behind_proxy, Direction::to_upstream, cut, body_bytes);
  }
}

TEST_CASE("a gRPC answer cut at any byte between proxy and client") {
  for (const auto cut : {Cut::fin, Cut::reset})
    sweep(call, false, Place::before_proxy, Direction::to_client, cut, body_bytes);
}

TEST_CASE("a gRPC request cut at any byte between client and proxy") {
  for (const bool hold : {false, true}) {
    for (const auto cut : {Cut::fin, Cut::reset})
      sweep(call, hold, Place::before_proxy, Direction::to_upstream, cut, body_bytes);
  }
}
