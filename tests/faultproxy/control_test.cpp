#include "control.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

#include "ends.h"

using namespace vmproxy;
using namespace vmproxy::faultproxy;
using namespace vmproxy::faultproxy::test;
namespace json = boost::json;

namespace {

json::object ask(Line& line, const std::string& text) {
  return line.proxy.call([&](FaultProxy& proxy) { return answer_control(proxy, text); });
}

bool accepted(Line& line, const std::string& text) {
  return ask(line, text).at("ok").as_bool();
}

LinkFaults faults(Line& line) {
  return line.proxy.call([](FaultProxy& proxy) { return proxy.faults("a").value(); });
}

}  // namespace

TEST_CASE(
    "each fault can be set by its name, one direction does not touch the other, and all can be cleared") {
  Line line;
  REQUIRE(accepted(line,
                   R"({"do":"set","link":"a","direction":"to_client","faults":{"latency_ms":5,"jitter_ms":2,)"
                   R"("bytes_per_second":1000,"blackhole":true,"cut_after":17,"cut":"reset","read_bytes":3,)"
                   R"("read_pause_ms":10}})"));
  REQUIRE(accepted(line, R"({"do":"set","link":"a","direction":"to_upstream","faults":{"cut_after":0}})"));
  REQUIRE(accepted(line, R"({"do":"set","link":"a","refuse":true,"duplicate":{"after_ms":20,"bytes":9}})"));
  const auto set = faults(line);
  CHECK(set.to_client.latency == 5ms);
  CHECK(set.to_client.jitter == 2ms);
  CHECK(set.to_client.bytes_per_second == 1000);
  CHECK(set.to_client.blackhole);
  CHECK(set.to_client.cut_after == 17u);
  CHECK(set.to_client.cut == Cut::reset);
  CHECK(set.to_client.read_bytes == 3);
  CHECK(set.to_client.read_pause == 10ms);
  CHECK(set.to_upstream.cut_after == 0u);
  CHECK_FALSE(set.to_upstream.blackhole);
  CHECK(set.refuse);
  REQUIRE(set.duplicate);
  CHECK(set.duplicate->after == 20ms);
  CHECK(set.duplicate->bytes == 9);
  REQUIRE(accepted(line, R"({"do":"set","link":"a","direction":"to_client","faults":{}})"));
  CHECK_FALSE(faults(line).to_client.blackhole);
  CHECK(faults(line).refuse);
  REQUIRE(accepted(line, R"({"do":"clear"})"));
  CHECK_FALSE(faults(line).refuse);
  CHECK_FALSE(faults(line).duplicate);
  CHECK_FALSE(faults(line).to_upstream.cut_after);
}

TEST_CASE("what is wrong is refused with its reason and changes nothing") {
  Line line;
  for (const auto* wrong :
       {"", "[]", "{}", "{\"do\":1}", R"({"do":"dance"})", R"({"do":"set","link":"b","refuse":true})",
        R"({"do":"set","link":"a","faults":{}})", R"({"do":"set","link":"a","direction":"up","faults":{}})",
        R"({"do":"set","link":"a","direction":"to_client","faults":{"latency":5}})",
        R"({"do":"set","link":"a","direction":"to_client","faults":{"latency_ms":-5}})",
        R"({"do":"set","link":"a","direction":"to_client","faults":{"latency_ms":"5"}})",
        R"({"do":"set","link":"a","direction":"to_client","faults":{"cut":"soft"}})",
        R"({"do":"set","link":"a","duplicate":{"bytes":99999999}})", R"({"do":"set","link":"a","refuse":1})",
        R"({"do":"reset","link":"b"})", R"({"do":"reset","link":"a","direction":"up"})",
        R"({"do":"half_close","link":"a"})", R"({"do":"log","from":-1})"}) {
    INFO(wrong);
    const auto answer = ask(line, wrong);
    CHECK_FALSE(answer.at("ok").as_bool());
    CHECK_FALSE(answer.at("error").as_string().empty());
  }
  const auto after = faults(line);
  CHECK_FALSE(after.refuse);
  CHECK(after.to_client.latency == 0ms);
}

TEST_CASE("connections can be reset and half-closed, and are counted and logged") {
  Line line;
  auto ends = line.connect();
  ends.client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK_FALSE(ends.upstream.receive().empty());
  // It is passed before that is logged.
  boost::json::object log;
  REQUIRE(eventually([&] {
    log = ask(line, R"({"do":"log"})");
    return log.at("requests").as_array().size() == 2;
  }));
  const auto& requests = log.at("requests").as_array();
  REQUIRE(requests.size() == 2);
  CHECK(requests[0].at("stage").as_string() == "arrived");
  CHECK(requests[1].at("stage").as_string() == "passed");
  CHECK(requests[1].at("target").as_string() == "/x");
  CHECK(0 < requests[0].at("at").as_int64());
  CHECK(requests[0].at("at").as_int64() <= requests[1].at("at").as_int64());
  CHECK(requests[1].at("headers").at(0).at(1).as_string() == "a");
  CHECK(log.at("next").to_number<int>() == 2);
  CHECK(ask(line, R"({"do":"log","from":1})").at("requests").as_array().size() == 1);
  const auto behind = ask(line, R"({"do":"log","from":9})");
  CHECK(behind.at("requests").as_array().empty());
  CHECK(behind.at("end").to_number<int>() == 2);
  CHECK(accepted(line, R"({"do":"forget","below":1})"));
  const auto left = ask(line, R"({"do":"log"})");
  CHECK(left.at("requests").as_array().size() == 1);
  CHECK(left.at("requests").at(0).at("stage").as_string() == "passed");
  CHECK_FALSE(accepted(line, R"({"do":"forget","below":-1})"));
  CHECK(accepted(line, R"({"do":"forget"})"));
  CHECK(ask(line, R"({"do":"log"})").at("requests").as_array().empty());

  CHECK(accepted(line, R"({"do":"half_close","link":"a","direction":"to_client"})"));
  CHECK(ends.client.closed_within(patience));
  CHECK(accepted(line, R"({"do":"reset","link":"a"})"));
  CHECK(ends.upstream.closed_within(patience));
  CHECK(ends.upstream.was_reset());
  const auto counts = ask(line, R"({"do":"counts"})").at("links").at("a").as_object();
  CHECK(counts.at("accepted").to_number<int>() == 1);
  CHECK(counts.at("open").to_number<int>() == 0);
  CHECK(counts.at("reset").to_number<int>() == 1);
  CHECK(counts.at("port").to_number<int>() == line.port);
  CHECK(counts.at("to_upstream").at("passed_bytes").to_number<int>() == 28);
}

TEST_CASE("control lines are answered one by one, also when they come together") {
  net::asio::io_context io(1);
  FaultProxy proxy(io, 1);
  Control control(io, proxy);
  const auto port = control.listen(0).value();
  std::thread thread([&] { io.run(); });
  {
    auto client = Socket::to(port);
    client.send("{\"do\":\"counts\"}\nnonsense\n{\"do\":");
    const auto first = client.receive_until("object\"}\n");
    CHECK(first.starts_with("{\"links\":{},\"ok\":true}\n{\"ok\":false,"));
    client.send("\"clear\"}\n");
    CHECK(client.receive() == "{\"ok\":true}\n");
    client.send(std::string(Control::line_bytes_max + 1000, 'x'));
    CHECK(client.closed_within(patience));
  }
  io.stop();
  thread.join();
}

TEST_CASE("a link is written as name, port and upstream") {
  const auto whole = parse_link("source=8001:127.0.0.2:8002").value();
  CHECK(whole.name == "source");
  CHECK(whole.listen_port == 8001);
  CHECK(whole.upstream.address().to_string() == "127.0.0.2");
  CHECK(whole.upstream.port() == 8002);
  CHECK(parse_link("a=0:9").value().upstream.address().to_string() == "127.0.0.1");
  CHECK(parse_link("a=0:[::1]:9").value().upstream.address().to_string() == "::1");
  for (const auto* wrong :
       {"", "a", "a=", "a=1", "=1:2", "a=x:2", "a=1:0", "a=1:99999", "a=1:nowhere:2", "a=1:2:"})
    CHECK(parse_link(wrong).has_error());
}
