// HTTP/1.1 through the real client, server and upstream pool, cut at every byte.
#include "net/http_client.h"
#include "sweep.h"

using namespace vmproxy;
using namespace vmproxy::net_cuts;

namespace {

Outcome post(uint16_t port, const std::string& body) {
  net::HttpClient client(at(port), 1);
  net::Request request;
  request.method = "POST";
  request.target = "/echo";
  request.body = body;
  auto answer = client.send(request, std::chrono::steady_clock::now() + 10s);
  Outcome outcome;
  if (!answer) {
    outcome.error = answer.error();
  } else if (answer->status == 200) {
    outcome.whole = true;
    outcome.body = answer->body;
  } else {
    outcome.error = told(answer->body);
  }
  return outcome;
}

}  // namespace

TEST_CASE("an HTTP/1.1 answer cut at any byte between database and proxy") {
  for (const bool hold : {false, true}) {
    for (const auto cut : {Cut::fin, Cut::reset})
      sweep(post, hold, Place::behind_proxy, Direction::to_client, cut, {});
  }
}

TEST_CASE("an HTTP/1.1 request cut at any byte between proxy and database") {
  for (const bool hold : {false, true}) {
    for (const auto cut : {Cut::fin, Cut::reset})
      sweep(post, hold, Place::behind_proxy, Direction::to_upstream, cut, {});
  }
}

TEST_CASE("an HTTP/1.1 answer cut at any byte between proxy and client") {
  for (const auto cut : {Cut::fin, Cut::reset})
    sweep(post, false, Place::before_proxy, Direction::to_client, cut, {});
}

TEST_CASE("an HTTP/1.1 request cut at any byte between client and proxy") {
  for (const bool hold : {false, true}) {
    for (const auto cut : {Cut::fin, Cut::reset})
      sweep(post, hold, Place::before_proxy, Direction::to_upstream, cut, {});
  }
}
