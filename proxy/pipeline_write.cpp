// The captured write: decode, gate, in-flight, intent, send, outcome (correctness.md 2). The numbers of its steps stand
// at each.
#include <boost/asio/steady_timer.hpp>

#include "base/fault.h"
#include "base/log.h"
#include "journal/rows.h"
#include "model/codec.h"
#include "net/await.h"
#include "proxy/pipeline.h"

namespace vmproxy::proxy {

namespace asio = boost::asio;
using protocols::OperationClass;
using protocols::WriteClass;

namespace {

// A source that is slow for a moment is waited for: the write itself would not be faster, and a gap costs a full validation.
constexpr Duration enumerate_time_max = std::chrono::seconds(10);

journal::IntentClass intent_class(WriteClass cls) {
  switch (cls) {
    case WriteClass::image: return journal::IntentClass::image;
    case WriteClass::read_back: return journal::IntentClass::read_back;
    case WriteClass::predicate: return journal::IntentClass::predicate;
    case WriteClass::ddl: return journal::IntentClass::ddl;
    case WriteClass::opaque: return journal::IntentClass::opaque;
  }
  return journal::IntentClass::opaque;
}

// What the journal keeps of the request itself. A write that is read back needs its keys only: the record that goes to
// the replica is what the primary says, also after a crash, so nobody would ever look at the bytes.
journal::IntentBody intent_body(const net::Request& request, journal::IntentClass cls) {
  if (cls == journal::IntentClass::read_back) return {};
  journal::IntentBody body{request.method, request.target, {}, {}};
  body.body = request.body;
  for (const auto& [name, value] : request.headers.all()) {
    if (net::equal_ignoring_case(name, "content-type") ||
        net::equal_ignoring_case(name, "content-encoding")) {
      body.headers.add(name, value);
    }
  }
  return body;
}

// mirror.unknown_requests: refuse.
Error refused_unknown(const protocols::OperationRow* row) {
  if (row == nullptr) {
    return {
        Code::unsupported,
        "request.unknown: this call is not known and may change data; it was not done (unknown_requests: refuse)"};
  }
  return {Code::unsupported,
          "request.unfollowed: what '" + std::string(row->name) +
              "' changes cannot be followed, so it was not done (unknown_requests: refuse)"};
}

constexpr std::string_view doubtful =
    "writes by names that may have been given to other collections; they may be missing there on the replica";

}  // namespace

asio::awaitable<void> Pipeline::write(net::Exchange& exchange, const Row* row) {
  std::optional<ByteBudget::Share> held;
  if (!co_await hold_body(exchange, row, held)) co_return;
  VMPROXY_FAULT("write.accepted");
  // 2: the gate, then the snapshot.
  co_await enter_gate(exchange);
  Gate::Inside inside(context_.gate);
  VMPROXY_FAULT("write.gated");
  const auto routing = context_.routing.get();
  if (routing->primary == Side::source) {
    co_await capture(exchange, *held, row, routing);
    co_return;
  }
  // It waited in the fence of a promotion: the target executes it.
  if (row == nullptr || row->cls == OperationClass::unknown) {
    co_await reply_error(
        exchange, Error(Code::not_found, exchange.head().method + " " + std::string(exchange.head().path())),
        row);
    co_return;
  }
  if (!context_.credentials.known(exchange.head())) {
    co_await reply_error(exchange, unknown_credential(), row);
    co_return;
  }
  auto answer = co_await ask_target(exchange, *row, routing, exchange.deadline());
  if (!answer) {
    co_await reply_error(exchange, answer.error(), row);
    co_return;
  }
  hold_answer(*held, exchange, row, *answer);
  count(exchange, row, Served::target, verdict(row, *answer));
  (void)co_await exchange.reply(std::move(*answer));
}

// What exists now, on a request's time.
asio::awaitable<Result<void>> Pipeline::ask_source(net::Exchange& exchange) {
  const Deadline deadline = std::min(exchange.deadline(), context_.clock.in(std::chrono::seconds(5)));
  co_return co_await on_pool<void>(exchange, [this, deadline] {
    // One that is being made just now is seen by after_ddl(), too.
    return context_.collections.refresh(deadline, [this](const model::Schema& schema) {
      return context_.mirror.paused(model::to_string(schema.name));
    });
  });
}

asio::awaitable<Result<protocols::Operation>> Pipeline::decode(net::Exchange& exchange, const Row& row) {
  auto operation = context_.dialect->decode(row, exchange.request(), *context_.collections.catalog());
  if (operation || operation.error().code != Code::not_found) co_return operation;
  // A collection that we have not seen: ask the source once what exists.
  auto asked = co_await ask_source(exchange);
  if (!asked) co_return operation;
  co_return context_.dialect->decode(row, exchange.request(), *context_.collections.catalog());
}

// A call that makes a collection succeeds in some systems although it is there already, and nothing tells who made it. What is
// there before the call is sent was made beside the proxy: a gap. What appears afterwards was made by it.
asio::awaitable<void> Pipeline::look_before(net::Exchange& exchange, Captured& captured) {
  const model::CollectionName name = captured.operation.collection;
  if (!context_.collections.included(name) || context_.collections.find(model::to_string(name))) co_return;
  const Deadline deadline = std::min(exchange.deadline(), context_.clock.in(std::chrono::seconds(2)));
  auto there = co_await on_pool<std::optional<model::Schema>>(exchange, [this, name, deadline] {
    return context_.transfer.driver(Side::source).describe(name, deadline);
  });
  if (there && !*there) co_return;
  captured.unseen = true;
  if (!there) co_return;
  auto asked = co_await ask_source(exchange);
  captured.unseen = !asked;
}

void Pipeline::gap(const std::string& what) {
  context_.journal.owe_gap(what);
}

asio::awaitable<void> Pipeline::enumerate(net::Exchange& exchange, Captured& captured) {
  model::Query query;
  query.kind = model::Query::Kind::get;
  query.collection = captured.operation.collection;
  query.filter = captured.operation.predicate;
  if (!captured.operation.keys.empty()) query.keys = captured.operation.keys;
  query.limit = context_.options.enumerate_max + 1;
  query.with_document = false;
  query.with_metadata = false;
  const auto collection = context_.collections.find(model::to_string(captured.operation.collection));
  if (!collection) {  // gone since the request was decoded
    captured.lost_track = true;
    co_return;
  }
  // The application waits for its write, not for this: half of its time is the write's own.
  const TimePoint now = context_.clock.now();
  const Deadline deadline = now + std::min<Duration>((exchange.deadline() - now) / 2, enumerate_time_max);
  auto found = co_await on_pool<model::QueryResult>(exchange, [this, query, collection, deadline] {
    return context_.transfer.query(Side::source, *collection, query, deadline);
  });
  if (!found || found->records.size() > context_.options.enumerate_max) {
    captured.lost_track = true;
    log::warn(
        "the records of a write by filter could not be listed before it; it goes to the source as it is, what it changes there is not "
        "followed (a capture gap: reads stay at the source until vmproxy validate --full --repair)",
        {{"collection", collection->key},
         {"operation", captured.name},
         {"why", found ? "more than " + std::to_string(context_.options.enumerate_max) + " records"
                       : found.error().message}});
    co_return;
  }
  std::vector<model::Key> keys;
  for (auto& record : found->records) keys.push_back(std::move(record.key));
  context_.mirror.add_keys(captured.ticket, std::move(keys));
  VMPROXY_FAULT("write.enumerated");
  try_on_target(std::move(query), collection);
}

// The question that the target would be asked for such a write once it is primary. Nobody waits for it.
void Pipeline::try_on_target(model::Query query, std::shared_ptr<const Collection> collection) {
  auto& trials = context_.write_trials;
  auto trial = trials.begin();
  if (!trial) return;
  query.limit = 1;
  query.consistency = model::Consistency::session;
  // Not posted: its kind comes again.
  (void)context_.pool.post([this, &trials, trial = std::move(trial), query = std::move(query), collection] {
    const auto answer =
        context_.transfer.query(Side::target, *collection, query, context_.target_read_deadline());
    if (!answer && answer.error().code == Code::unsupported)
      trials.refused(answer.error().message.substr(0, answer.error().message.find(':')));
  });
}

asio::awaitable<Pipeline::Captured> Pipeline::begin(net::Exchange& exchange, const Row* row,
                                                    const Routing& routing) {
  Captured captured;
  captured.name = row == nullptr ? "unknown" : std::string(row->name);
  // From before its names are looked up: who moves one meanwhile sees that it was not alone.
  captured.passing.emplace(context_.mirror.passing());
  if (row != nullptr && row->cls != OperationClass::unknown) {
    if (context_.collections.should_ask()) (void)co_await ask_source(exchange);
    captured.in_doubt = context_.collections.in_doubt();
    auto operation = co_await decode(exchange, *row);
    if (operation) {
      captured.decoded = true;
      captured.operation = std::move(*operation);
      // Any change of collections may bring one into the migration: an excluded one that is renamed.
      captured.included =
          captured.operation.write_class == WriteClass::ddl || captured.operation.collection.name.empty() ||
          context_.collections.find(model::to_string(captured.operation.collection)) != nullptr;
    }
  } else {
    ++context_.unknown_requests;
    context_.metrics
        .counter("unknown_requests_total", "Requests that are not in the dialect's table and may change data",
                 {{"operation", "unknown"}})
        .add();
  }
  if (!captured.included) co_return std::move(captured);
  const auto& operation = captured.operation;
  const auto cls = captured.decoded ? intent_class(operation.write_class) : journal::IntentClass::opaque;
  // 3: the in-flight table.
  if (cls == journal::IntentClass::predicate || cls == journal::IntentClass::ddl) {
    if (cls == journal::IntentClass::ddl) {
      if (operation.creates_collection) co_await look_before(exchange, captured);
      captured.before = context_.collections.all();
      captured.passing.reset();
    }
    captured.ticket = context_.mirror.begin_broad(routing, captured.name, operation.collection, cls);
    if (cls == journal::IntentClass::ddl) {
      context_.mirror.pause(model::to_string(operation.collection));
      if (operation.drops_collection && !operation.creates_collection)  // not: it is renamed
        captured.dropping = context_.source_drops.begin(operation.collection);
      VMPROXY_FAULT("ddl.paused");
    } else {
      try {
        co_await enumerate(exchange, captured);
      } catch (...) {
        let_go(captured);
        throw;
      }
      // Like a request that nobody can read: a gap, also when a crash comes before its outcome.
      if (captured.lost_track) captured.ticket.cls = journal::IntentClass::opaque;
    }
  } else {
    captured.ticket =
        context_.mirror.begin_keyed(routing, captured.name, operation.collection, operation.keys, cls);
    captured.ticket.makes_keys = operation.makes_keys;
  }
  if (captured.passing)
    captured.ticket.passing = std::make_shared<InFlight::Passing>(std::move(*captured.passing));
  captured.passing.reset();
  if (captured.ticket.cls == journal::IntentClass::opaque)
    captured.ticket.unfollowed = std::make_shared<Unfollowed>(context_.mirror);
  co_return std::move(captured);
}

// It may reach another collection than the one that it is taken for. Only the gap stands for that, and no comparison closes it
// before the write has ended.
asio::awaitable<Result<void>> Pipeline::mark_doubtful(net::Exchange& exchange, Captured& captured) {
  captured.ticket.unjournaled = std::make_shared<Unjournaled>(context_.mirror, Side::source);
  auto marked = co_await mark_gap(exchange, std::string(doubtful));
  if (!marked)
    co_return marked.error().within(
        "the write was not sent: nobody knows at the moment what its name stands for, and that cannot be recorded");
  co_return marked;
}

asio::awaitable<Result<void>> Pipeline::mark_gap(net::Exchange& exchange, std::string what) {
  co_return co_await net::completion<Result<void>>(
      exchange.executor(), [&](std::function<void(Result<void>)> done) {
        context_.journal.mark_gap(std::move(what), std::move(done));
      });
}

asio::awaitable<Result<void>> Pipeline::make_durable(net::Exchange& exchange, Captured& captured) {
  if (captured.in_doubt) {
    if (auto marked = co_await mark_doubtful(exchange, captured); !marked) co_return marked;
  }
  auto seq = co_await net::completion<Result<journal::Seq>>(
      exchange.executor(), [&](std::function<void(Result<journal::Seq>)> done) {
        context_.mirror.journal(captured.ticket, intent_body(exchange.request(), captured.ticket.cls),
                                std::move(done));
      });
  if (seq) {
    captured.ticket.seq = *seq;
    VMPROXY_FAULT("write.intended");
    co_return Result<void>();
  }
  if (context_.options.refuse_on_capture_failure) {
    co_return seq.error().within(
        "the write was not sent: the journal cannot be written (capture_failure: refuse)");
  }
  if (!captured.ticket.unjournaled)
    captured.ticket.unjournaled = std::make_shared<Unjournaled>(context_.mirror, captured.ticket.primary);
  auto marked = co_await mark_gap(
      exchange, "writes passed while the journal could not be written: " + seq.error().message);
  VMPROXY_FAULT("write.gap");
  co_return marked;
}

// It goes no further, and was not sent.
void Pipeline::let_go(Captured& captured) {
  const bool ddl = captured.ticket.cls == journal::IntentClass::ddl;
  context_.mirror.drop(std::move(captured.ticket));
  if (captured.dropping) captured.dropping->settled();
  if (ddl) context_.mirror.resume(model::to_string(captured.operation.collection));
}

// 6: from the answer, and of a change of collections from what the source has now.
asio::awaitable<journal::OutcomeRecord> Pipeline::what_became_of(net::Exchange& exchange, Captured& captured,
                                                                 const Row* row,
                                                                 const Result<net::Response>& answer) {
  protocols::OutcomeReport report;
  if (!answer) {
    report.whole = answer.error().surely_not_done() ? model::Outcome::rejected : model::Outcome::uncertain;
  } else if (captured.decoded) {
    report = context_.dialect->outcome(captured.operation, *answer);
  } else {
    // Carried out or not: without its keys only the proof that nothing was done helps.
    const auto outcome = context_.dialect->ending(row, *answer).outcome;
    report.whole = outcome == model::Outcome::rejected ? outcome : model::Outcome::uncertain;
  }
  // The source made the keys up: only its answer names them.
  if (!report.generated.empty()) context_.mirror.add_keys(captured.ticket, std::move(report.generated));
  journal::OutcomeRecord outcome;
  outcome.whole = report.whole;
  outcome.items = report.items;
  // Of a change of collections once the catalog has what it left: a replay without an outcome asks again.
  const bool ddl = captured.ticket.cls == journal::IntentClass::ddl;
  if (ddl && outcome.whole != model::Outcome::rejected) co_await after_ddl(exchange, captured, outcome.whole);
  if (captured.dropping && outcome.whole == model::Outcome::rejected) captured.dropping->settled();
  co_return outcome;
}

asio::awaitable<void> Pipeline::capture(net::Exchange& exchange, ByteBudget::Share& held, const Row* row,
                                        std::shared_ptr<const Routing> routing) {
  const TimePoint began = context_.clock.now();
  if (context_.options.refuse_unknown_requests && (row == nullptr || row->cls == OperationClass::unknown)) {
    co_await reply_error(exchange, refused_unknown(row), row);
    co_return;
  }
  auto captured = co_await begin(exchange, row, *routing);
  if (!captured.included) {
    if (captured.in_doubt) {
      if (auto marked = co_await mark_doubtful(exchange, captured); !marked) {
        co_await reply_error(exchange, Error(Code::unavailable, marked.error().message), row);
        co_return;
      }
    }
    co_await forward(exchange, held, row);  // how it ended is not looked at
    context_.mirror.passed(*captured.passing, journal::Side::source);
    co_return;
  }
  VMPROXY_FAULT("write.begun");
  // 4: durable before a byte goes out.
  const std::string collection = model::to_string(captured.operation.collection);
  const bool ddl = captured.ticket.cls == journal::IntentClass::ddl;
  Result<void> durable;
  try {
    durable = co_await make_durable(exchange, captured);
  } catch (...) {
    let_go(captured);
    throw;
  }
  if (!durable || exchange.client_gone()) {
    let_go(captured);
    if (!durable) co_await reply_error(exchange, Error(Code::unavailable, durable.error().message), row);
    co_return;
  }
  overhead_.observe(std::chrono::duration<double>(context_.clock.now() - began).count());
  Result<net::Response> answer = Error(Code::internal, "");
  journal::OutcomeRecord outcome;
  try {
    // 5: as it came; a client that goes away no longer stops it.
    answer =
        co_await exchange.forward(context_.source, exchange.deadline(), context_.options.answer_bytes_max,
                                  [&exchange, this, epoch = routing->epoch] {
                                    return !exchange.client_gone() && context_.routing.get()->epoch == epoch;
                                  });
    VMPROXY_FAULT("write.answered");
    outcome = co_await what_became_of(exchange, captured, row, answer);
  } catch (...) {
    // No memory for the answer, say: the write may be done, so it is owed before the connection ends.
    if (ddl) context_.mirror.gaps_act_late(captured.ticket.primary);
    if (ddl) gap("what a change of '" + collection + "' left is not known");
    context_.mirror.finish(std::move(captured.ticket), {model::Outcome::uncertain, {}, {}});
    if (ddl) context_.mirror.resume(collection);
    throw;
  }
  const model::Outcome whole = outcome.whole;
  // 7: its place on the replica, before the client can know.
  context_.mirror.finish(std::move(captured.ticket), std::move(outcome));
  VMPROXY_FAULT("write.finished");
  if (ddl) context_.mirror.resume(collection);
  if (context_.options.sync && whole == model::Outcome::applied) {
    asio::steady_timer timer(exchange.executor(), context_.options.sync_timeout);
    const auto waiter = std::make_shared<std::atomic<uint64_t>>(0);
    auto& freshness = context_.mirror.freshness();
    timer.async_wait([&freshness, collection, waiter](const boost::system::error_code& error) {
      if (!error) freshness.give_up(collection, waiter->load());
    });
    (void)co_await net::completion<bool>(exchange.executor(), [&](std::function<void(bool)> done) {
      waiter->store(freshness.when_fresh(collection, Freshness::Needs::acknowledged, true, std::move(done)));
    });
    timer.cancel();
  }
  // 8: the answer, as W gave it.
  if (VMPROXY_FAULT_HIT("write.replying").drops)
    answer = Error(Code::connection_lost, "the answer of the source was lost");
  if (!answer) {
    co_await reply_error(exchange, answer.error(), row);
    co_return;
  }
  hold_answer(held, exchange, row, *answer);
  const TimePoint now = context_.clock.now();
  context_.write_latency.observe(now - began, now);
  ended(exchange, row, *answer);
  (void)co_await exchange.reply_upstream();
  VMPROXY_FAULT("write.replied");
}

}  // namespace vmproxy::proxy
