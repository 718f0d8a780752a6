// Proxy: a migration in state ready behind a pipeline, with requests that have no socket.
#pragma once

#include "proxy/images.h"
#include "proxy/target_backend.h"
#include "tests/hazards/fake_exchange.h"

namespace vmproxy::support {

struct Proxy {
  // Outlives the threads of the migration, which post to it.
  asio::io_context io;
  asio::executor_work_guard<asio::io_context::executor_type> work = asio::make_work_guard(io);
  Move move;
  std::unique_ptr<proxy::Pipeline> pipeline;

  Proxy() { move.source.put("a", 1); }
  void ready() {
    ready_untried();
    move.context().read_counts.answered_there();  // the gate "reads" is what few tests are about
  }
  void ready_untried() {
    move.ready();
    pipeline = std::make_unique<proxy::Pipeline>(move.context(), "test");
    CHECK(read_by_source("a"));  // lets the caller in
  }
  // The source's own behaviour for the fake API.
  Result<net::Response> source(const net::Request& request) {
    auto images = proxy::decode_images(request.body);
    if (!images) return net::Response{404, {}, "no such call", {}};
    if (request.path() == "/read") return net::Response{200, {}, "from the source", {}};
    for (const auto& image : *images) {
      const std::string id = vmproxy::model::to_string(image.key.id);
      if (image.record) {
        move.source.put(id, version_of(*image.record));
      } else {
        move.source.remove(id);
      }
    }
    return net::Response{200, {}, "done by the source", {}};
  }
  FakeExchange exchange(net::Request request) {
    return {io, std::move(request), move.clock.in(seconds(30)),
            [this](const net::Request& sent) { return source(sent); }};
  }
  FakeExchange exchange(net::Request request, FakeExchange::Source source) {
    return {io, std::move(request), move.clock.in(seconds(30)), std::move(source)};
  }
  void handle(FakeExchange& exchange) {
    bool ended = false;
    asio::co_spawn(io, pipeline->handle(exchange), [&](std::exception_ptr) { ended = true; });
    CHECK(move.eventually([&] {
      io.poll();
      return ended;
    }));
  }
  // A read, whose patience with the target is short: time stands still at first, so that a loaded machine is no slow target.
  void handle_read(FakeExchange& exchange) {
    const auto ended = begin(exchange);
    const auto patience = std::chrono::steady_clock::now() + seconds(1);
    while (!*ended && std::chrono::steady_clock::now() < patience)
      io.run_one_for(std::chrono::milliseconds(1));
    CHECK(until([&] { return *ended; }));
  }
  // Any, while time stands still.
  void handle_at_once(FakeExchange& exchange) {
    bool ended = false;
    asio::co_spawn(io, pipeline->handle(exchange), [&](std::exception_ptr) { ended = true; });
    const auto give_up = std::chrono::steady_clock::now() + seconds(60);
    while (!ended && std::chrono::steady_clock::now() < give_up) io.run_one_for(std::chrono::milliseconds(1));
    CHECK(ended);
  }
  // A request that goes on beside the test, which drives it with until(); true when it has ended.
  std::shared_ptr<bool> begin(FakeExchange& exchange) {
    auto ended = std::make_shared<bool>(false);
    asio::co_spawn(io, pipeline->handle(exchange), [ended](std::exception_ptr) { *ended = true; });
    io.poll();
    return ended;
  }
  bool until(const std::function<bool()>& what) {
    return move.eventually([&] {
      io.poll();
      return what();
    });
  }
  // kill -9 at the moment when the disk was so; requests have ended before.
  void restart(const Move::Disk& disk) {
    pipeline.reset();
    move.crash(disk);
    move.start();
    pipeline = std::make_unique<proxy::Pipeline>(move.context(), "test");
  }
  void validate() {
    vmproxy::cutover::ValidateOptions all;
    all.repair = true;
    const auto over = [&] { return move.status().validation.phase != "running"; };
    REQUIRE(until(over));  // one that was asked for before
    REQUIRE(move.migration->validate(all, {}));
    REQUIRE(until(over));
    REQUIRE(move.quiet());
  }
  // What a dialect gets to answer one request after the promotion.
  proxy::TargetBackend backend() {
    auto& context = move.context();
    return {context, context.routing.get(), "test", move.clock.in(seconds(10))};
  }
  // Status of the answer; 0: none.
  int put(const std::string& id, int64_t version) {
    auto request = exchange(put_request({{key_of(id), record_of(id, version)}}));
    handle(request);
    return request.answer ? request.answer->status : 0;
  }
  // True when the source answered.
  bool read_by_source(const std::string& id, const std::string& target = "/read") {
    auto request = exchange({"POST", target, {}, proxy::encode_images({{key_of(id), std::nullopt}})});
    handle_read(request);
    REQUIRE(request.answer);
    CHECK(request.answer->status == 200);
    return request.asked_source > 0;
  }
  // The same of a read that names no keys.
  bool search_by_source() {
    auto request = exchange({"POST", "/read", {}, proxy::encode_images({})});
    handle_read(request);
    REQUIRE(request.answer);
    CHECK(request.answer->status == 200);
    return request.asked_source > 0;
  }
  void reads(double percent) {
    auto routing = *move.context().routing.get();
    routing.reads_percent = percent;
    move.context().routing.publish(routing);
  }
};

}  // namespace vmproxy::support
