// Which side answers a read, and what it is answered when the other one should have and cannot (correctness.md 7).
#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "net/await.h"
#include "proxy/pipeline.h"
#include "proxy/target_backend.h"

namespace vmproxy::proxy {

namespace asio = boost::asio;

// --- reads while the source is primary

std::string Pipeline::route_key(const net::RequestHead& head, const protocols::Operation& operation) const {
  const std::string& by = context_.options.route_by;
  if (by == "space") return operation.collection.space;
  if (by == "credential") return context_.credentials.of(head);
  if (by.starts_with("header:")) {
    const auto value = head.headers.find(by.substr(7));
    if (value) return std::string(*value);
  }
  return model::to_string(operation.collection) + '\0' + operation.fingerprint;
}

asio::awaitable<void> Pipeline::read(net::Exchange& exchange, const Row& row) {
  std::optional<ByteBudget::Share> held;
  if (!co_await hold_body(exchange, &row, held)) co_return;
  const auto routing = context_.routing.get();
  auto operation = co_await decode(exchange, row);
  if (operation && routing->primary == Side::source &&
      context_.collections.find(model::to_string(operation->collection))) {
    const std::string key = route_key(exchange.head(), *operation);
    if (context_.reads.side_for(*routing, key, operation->pages) == Side::target) {
      if (co_await read_from_target(exchange, *held, row, *operation, routing)) co_return;
    } else {
      context_.read_counts.to_source();
    }
  } else if (routing->reads_percent > 0) {
    const bool coded = !operation && operation.error().code == Code::unsupported;
    context_.read_counts.returned(coded       ? unanswerable(operation.error())
                                  : operation ? "not_included"
                                              : "not_decoded");
  }
  co_await forward(exchange, *held, &row);
}

// Everything acknowledged that the read could show was applied by the replica, or is within reads.wait (correctness.md 7); and so
// was what a read of the primary may have shown of writes under way.
asio::awaitable<bool> Pipeline::replica_has(net::Exchange& exchange, const protocols::Operation& operation) {
  if (!context_.options.guard_reads) co_return true;
  if (!operation.keys.empty() &&
      std::none_of(operation.keys.begin(), operation.keys.end(),
                   [&](const auto& key) { return context_.mirror.dirty(operation.collection, key); })) {
    co_return true;
  }
  // Freshness knows what is in the lanes. What is owed beside them (too much for memory, an attempt that may still land) stands
  // in no order with it, so nothing is fresh until that is paid.
  if (!context_.mirror.only_windows_owed()) co_return false;
  const std::string collection = model::to_string(operation.collection);
  asio::steady_timer timer(exchange.executor(), context_.options.read_wait);
  const auto waiter = std::make_shared<std::atomic<uint64_t>>(0);
  auto& freshness = context_.mirror.freshness();
  timer.async_wait([&freshness, collection, waiter](const boost::system::error_code& error) {
    if (!error) freshness.give_up(collection, waiter->load());
  });
  const bool fresh = co_await net::completion<bool>(exchange.executor(), [&](std::function<void(bool)> done) {
    waiter->store(freshness.when_fresh(collection, Freshness::Needs::shown,
                                       context_.options.read_wait.count() > 0, std::move(done)));
  });
  timer.cancel();
  co_return fresh;
}

asio::awaitable<bool> Pipeline::read_from_target(net::Exchange& exchange, ByteBudget::Share& held,
                                                 const Row& row, const protocols::Operation& operation,
                                                 std::shared_ptr<const Routing> routing) {
  const std::string collection = model::to_string(operation.collection);
  // Nobody is served with our rights alone: the source is who lets in.
  if (!context_.credentials.known(exchange.head())) {
    context_.read_counts.returned("credential");
    co_return false;
  }
  // In this order: who ends such a write has marked its gap by then.
  const bool unfollowed = context_.options.guard_reads && context_.mirror.unfollowed();
  if (unfollowed || context_.journal.has_gaps() || context_.collections.in_doubt()) {
    context_.read_counts.returned("gap");
    co_return false;
  }
  if (!co_await replica_has(exchange, operation)) {
    context_.read_counts.returned("stale");
    co_return false;
  }
  // After the wait: what it waited for may be there now.
  if (context_.mirror.quarantine().holds(collection)) {
    context_.read_counts.returned("quarantine");
    co_return false;
  }
  // A target that was late or failing is asked again off the request's path, until it answers in time.
  const size_t allowed = context_.target_reads.allowed();
  if (allowed != SIZE_MAX) {
    if (allowed > 0) probe_target(exchange, row, routing);
    context_.read_counts.returned("target_slow");
    co_return false;
  }
  const Deadline deadline = std::min(exchange.deadline(), context_.target_read_deadline());
  auto answer = co_await ask_target(exchange, row, routing, deadline);
  if (!answer) {
    const Error& error = answer.error();
    const bool coded = error.code == Code::unsupported;
    if (!coded) context_.target_reads.failed(error.message);
    context_.read_counts.returned(coded ? unanswerable(error) : "target_" + std::string(name_of(error.code)));
    co_return false;
  }
  context_.read_counts.to_target();
  hold_answer(held, exchange, &row, *answer);
  count(exchange, &row, Served::target, verdict(&row, *answer));
  (void)co_await exchange.reply(std::move(*answer));
  co_return true;
}

std::string Pipeline::unanswerable(const Error& error) {
  std::string code = error.message.substr(0, error.message.find(':'));
  context_.metrics
      .counter("unsupported_reads_total", "Reads the target cannot answer faithfully", {{"code", code}})
      .add();
  return code;
}

void Pipeline::probe_target(net::Exchange& exchange, const Row& row, std::shared_ptr<const Routing> routing) {
  auto request = std::make_shared<net::Request>(exchange.request());
  const bool posted = context_.pool.post([this, request, &row, routing] {
    TargetBackend backend(context_, routing, std::string(row.name), context_.target_read_deadline());
    const auto answer = context_.dialect->serve(row, *request, backend);
    if (answer || answer.error().code == Code::unsupported) {
      context_.target_reads.succeeded();
    } else {
      context_.target_reads.failed(answer.error().message);
    }
  });
  if (!posted) context_.target_reads.unused();
}

asio::awaitable<void> Pipeline::forward(net::Exchange& exchange, ByteBudget::Share& held, const Row* row) {
  const TimePoint began = context_.clock.now();
  auto answer = co_await exchange.forward(context_.source, exchange.deadline(),
                                          context_.options.answer_bytes_max, [] { return true; });
  if (!answer) {
    co_await reply_error(exchange, answer.error(), row);
    co_return;
  }
  hold_answer(held, exchange, row, *answer);
  context_.mirror.freshness().shown();
  const TimePoint now = context_.clock.now();
  context_.source_read_latency.observe(now - began, now);
  ended(exchange, row, *answer);
  (void)co_await exchange.reply_upstream();
}

// --- after promotion

// A rollback has begun: the source answers what it can answer right already. What pages stays where it began.
asio::awaitable<bool> Pipeline::read_from_source(net::Exchange& exchange, ByteBudget::Share& held,
                                                 const Row& row) {
  const auto operation = context_.dialect->decode(row, exchange.request(), *context_.collections.catalog());
  if (!operation || operation->pages) co_return false;
  const std::string collection = model::to_string(operation->collection);
  const auto found = context_.collections.find(collection);
  if (!found) co_return false;
  const auto marks = context_.mirror.marks().of(operation->collection, operation->keys);
  if (!marks) co_return false;
  if (!co_await replica_has(exchange, *operation) || context_.mirror.quarantine().holds(collection))
    co_return false;
  const size_t allowed = context_.source_reads.allowed();
  if (allowed == 0) co_return false;
  const ReplicaHealth::Turn turn(context_.source_reads, allowed);
  // A plain read may miss what was acknowledged, where the system makes reads wait for that. Since the promotion only the
  // mirror writes to the source. Asked for now, behind the wait: what the mirror wrote meanwhile has to be in the answer.
  std::string session;
  if (context_.clock.now() - context_.mirror.primary_since() > protocols::Driver::others_after)
    session = context_.transfer.driver(Side::source).session(found->plan->source(), operation->keys);
  auto up_to_date = context_.dialect->up_to_date(row, exchange.request(), session);
  if (!up_to_date) co_return false;
  exchange.send_instead(std::move(*up_to_date));
  const Deadline deadline = std::min(exchange.deadline(), context_.source_read_deadline());
  auto answer = co_await exchange.forward(context_.source, deadline, context_.options.answer_bytes_max,
                                          [] { return true; });
  // What the source cannot answer (it may be away, or have never had the collection) the target still can.
  if (!answer) {
    context_.source_reads.failed(answer.error().message);
    co_return false;
  }
  hold_answer(held, exchange, &row, *answer);
  context_.source_reads.succeeded();
  // A read of a database may be disturbed by a write of the same record beside it (decision 10): the mirror's may have come.
  if (context_.mirror.marks().of(operation->collection, operation->keys) != marks) co_return false;
  const auto ending = context_.dialect->ending(&row, *answer);
  if (ending.failed || ending.outcome != model::Outcome::applied) co_return false;
  context_.read_counts.to_source();
  ended(exchange, &row, *answer);
  (void)co_await exchange.reply_upstream();
  co_return true;
}

}  // namespace vmproxy::proxy
