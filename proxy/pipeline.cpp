#include "proxy/pipeline.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/log.h"
#include "net/await.h"
#include "proxy/target_backend.h"

namespace vmproxy::proxy {

namespace asio = boost::asio;
using protocols::OperationClass;

namespace {

constexpr int overtaken_max = 10;  // times that a change is served while others change the same collection

bool changes_nothing(OperationClass cls) {
  return cls == OperationClass::read || cls == OperationClass::session || cls == OperationClass::health;
}

class UncapturedWrite {
 public:
  explicit UncapturedWrite(std::atomic<uint64_t>& count) : count_(count) { ++count_; }
  UncapturedWrite(const UncapturedWrite&) = delete;
  ~UncapturedWrite() { --count_; }

 private:
  std::atomic<uint64_t>& count_;
};

}  // namespace

Pipeline::Pipeline(Context& context, std::string listener)
    : context_(context),
      requests_(context.metrics, std::move(listener),
                context.dialect == nullptr ? std::span<const Row>() : context.dialect->table()),
      overhead_(context.metrics.histogram("overhead_seconds",
                                          "Time the proxy adds to a captured write before it is sent")) {}

asio::awaitable<void> Pipeline::handle(net::Exchange& exchange) {
  exchange.set_began(context_.clock.now());
  const Row* row = context_.dialect->classify(exchange.head());
  if (row != nullptr && changes_nothing(row->cls)) exchange.set_repeatable();
  if (row != nullptr && row->cls == OperationClass::read) return handle_read(exchange, row);
  return route(exchange, row);
}

asio::awaitable<void> Pipeline::handle_read(net::Exchange& exchange, const Row* row) {
  if (!context_.read_gate.enter_now()) co_await wait_at(context_.read_gate, exchange);
  Gate::Inside inside(context_.read_gate);
  co_await route(exchange, row);
}

asio::awaitable<void> Pipeline::route(net::Exchange& exchange, const Row* row) {
  const auto routing = context_.routing.get();
  if (routing->primary == Side::target) return serve(exchange, row);
  const bool changes = row == nullptr
                           ? !net::safe_method(exchange.head().method)
                           : row->cls == OperationClass::write || row->cls == OperationClass::ddl ||
                                 row->cls == OperationClass::unknown;
  if (changes) return routing->capture ? write(exchange, row) : pass_uncaptured(exchange, row);
  if (row != nullptr && row->cls == OperationClass::read && routing->reads_percent > 0)
    return read(exchange, *row);
  return pass(exchange, row);
}

asio::awaitable<void> Pipeline::pass_uncaptured(net::Exchange& exchange, const Row* row) {
  {
    // Counted first, looked at again after: the capture barrier waits for every write that it did not see.
    UncapturedWrite counted(context_.uncaptured_writes);
    if (!context_.routing.get()->capture) {
      co_await pass(exchange, row);
      co_return;
    }
  }
  co_await write(exchange, row);
}

asio::awaitable<void> Pipeline::pass(net::Exchange& exchange, const Row* row) {
  net::Response answer;
  if (row != nullptr && row->cls == OperationClass::read) context_.read_counts.passed();
  auto passed = co_await exchange.pass(context_.source, &answer);
  if (row != nullptr && row->cls == OperationClass::read) context_.mirror.freshness().shown();
  if (!passed) {
    co_await reply_error(exchange, passed.error(), row);
    co_return;
  }
  ended(exchange, row, answer);
}

// A body of unknown length (gRPC has no other) counts as 1 MiB until it is here, then as what it is.
asio::awaitable<bool> Pipeline::hold_body(net::Exchange& exchange, const Row* row,
                                          std::optional<ByteBudget::Share>& held) {
  uint64_t bytes = std::min(exchange.head().content_length.value_or(uint64_t{1} << 20),
                            context_.dialect->body_bytes_max());
  const uint64_t making =
      reads(row) ? std::min(expected_answer_.making(), context_.budget.bytes_max() / 4) : 0;
  bytes += making;
  bool room = context_.budget.take_now(bytes);
  if (!room) room = co_await wait_for(exchange, context_.budget, bytes);
  if (!room) {
    co_await reply_error(
        exchange,
        Error(
            Code::overloaded,
            "the requests under way fill memory.inflight_bytes, and no room came in half of this one's time. "
            "Nothing was sent to the database."),
        row);
    co_return false;
  }
  held.emplace(context_.budget, bytes);
  if (!co_await read_body(exchange)) co_return false;
  held->becomes(exchange.request().body.size() + making);
  co_return true;
}

asio::awaitable<bool> Pipeline::wait_for(net::Exchange& exchange, ByteBudget& budget, uint64_t& bytes) {
  asio::steady_timer timer(exchange.executor(), (exchange.deadline() - context_.clock.now()) / 2);
  const auto waiter = std::make_shared<std::atomic<uint64_t>>(0);
  timer.async_wait([&budget, waiter](const boost::system::error_code& error) {
    if (!error) budget.give_up(waiter->load());
  });
  const bool granted = co_await net::completion<bool>(
      exchange.executor(),
      [&](std::function<void(bool)> done) { waiter->store(budget.take(bytes, std::move(done))); });
  timer.cancel();
  co_return granted;
}

asio::awaitable<bool> Pipeline::wait_for_change_slot(net::Exchange& exchange) {
  uint64_t slots = 1;
  co_return co_await wait_for(exchange, context_.change_slots, slots);
}

asio::awaitable<void> Pipeline::enter_gate(net::Exchange& exchange) {
  if (const Duration pace = context_.gate.pace(); pace > Duration::zero()) {
    asio::steady_timer timer(exchange.executor(), pace);
    (void)co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  }
  if (!context_.gate.enter_now()) co_await wait_at(context_.gate, exchange);
}

asio::awaitable<void> Pipeline::wait_at(Gate& gate, net::Exchange& exchange) {
  (void)co_await net::completion<bool>(
      exchange.executor(), [&](std::function<void(bool)> done) { gate.enter([done] { done(true); }); });
}

asio::awaitable<bool> Pipeline::read_body(net::Exchange& exchange) {
  auto body = co_await exchange.read_body(context_.dialect->body_bytes_max());
  if (body) co_return true;
  if (body.error().code == Code::too_large) {
    net::Response response =
        context_.dialect->error(Error(Code::invalid, body.error().message), exchange.head());
    if (response.status >= 400) {
      response.status = 413;  // where the API speaks in HTTP's statuses
    } else {
      // Else it has a word of its own for it. What has come of the body may tell more.
      Error error = body.error();
      if (const Row* row = context_.dialect->classify(exchange.head())) {
        auto read = context_.dialect->decode(*row, exchange.request(), *context_.collections.catalog());
        if (!read && read.error().code == Code::too_large) error = read.error();
      }
      response = context_.dialect->error(error, exchange.head());
    }
    count(exchange, nullptr, Served::nobody, "too_large");
    (void)co_await exchange.reply(std::move(response));
  } else if (body.error().code != Code::connection_lost) {
    co_await reply_error(exchange, body.error(), nullptr);
  }
  co_return false;
}

asio::awaitable<void> Pipeline::reply_error(net::Exchange& exchange, const Error& error, const Row* row) {
  count(exchange, row, Served::nobody, name_of(error.code));
  (void)co_await exchange.reply(context_.dialect->error(error, exchange.head()));
}

// --- after promotion

asio::awaitable<Result<net::Response>> Pipeline::ask_target(net::Exchange& exchange, const Row& row,
                                                            std::shared_ptr<const Routing> routing,
                                                            Deadline deadline) {
  std::optional<ByteBudget::Share> slot;
  if (row.cls == OperationClass::ddl) {
    if (!co_await wait_for_change_slot(exchange))
      co_return Error(
          Code::overloaded,
          "other changes of collections took too long; this one was not begun, nothing was changed");
    slot.emplace(context_.change_slots, 1);
  }
  co_return co_await on_pool<net::Response>(
      exchange, [this, &exchange, &row, routing, deadline]() -> Result<net::Response> {
        // The exchange outlives this: its coroutine waits for the result.
        for (int times = 1;; ++times) {
          TargetBackend backend(context_, routing, std::string(row.name), deadline);
          auto answer = context_.dialect->serve(row, exchange.request(), backend);
          // The database itself would have made both changes, one after the other.
          if (answer || !backend.overtaken() || times == overtaken_max) return answer;
        }
      });
}

asio::awaitable<void> Pipeline::serve(net::Exchange& exchange, const Row* row) {
  std::optional<ByteBudget::Share> held;
  if (!co_await hold_body(exchange, row, held)) co_return;
  if (row == nullptr || row->cls == OperationClass::unknown) {
    // Never to the source: the answer is its own for a call it does not know.
    co_await reply_error(
        exchange, Error(Code::not_found, exchange.head().method + " " + std::string(exchange.head().path())),
        row);
    co_return;
  }
  // Whoever may ask for the source's health may ask for it without a credential.
  if (row->cls != OperationClass::health && !context_.credentials.known(exchange.head())) {
    co_await reply_error(exchange, unknown_credential(), row);
    co_return;
  }
  Result<net::Response> answer = Error(Code::internal, "");
  if (row->cls == OperationClass::write || row->cls == OperationClass::ddl) {
    co_await enter_gate(exchange);
    Gate::Inside inside(context_.gate);
    const auto routing = context_.routing.get();
    if (routing->primary == Side::source) {
      // It waited in the fence of a rollback: the source executes it (H44).
      co_await capture(exchange, *held, row, routing);
      co_return;
    }
    answer = co_await ask_target(exchange, *row, routing, exchange.deadline());
  } else {
    if (row->cls == OperationClass::read && context_.routing.get()->reads_percent == 0 &&
        co_await read_from_source(exchange, *held, *row))
      co_return;
    answer = co_await ask_target(exchange, *row, context_.routing.get(), exchange.deadline());
    context_.mirror.freshness().shown();
    if (answer && row->cls == OperationClass::read) context_.read_counts.answered_there();
  }
  if (!answer) {
    co_await reply_error(exchange, answer.error(), row);
    co_return;
  }
  hold_answer(*held, exchange, row, *answer);
  count(exchange, row, Served::target, verdict(row, *answer));
  (void)co_await exchange.reply(std::move(*answer));
}

void Pipeline::ended(const net::Exchange& exchange, const Row* row, const net::Response& answer) {
  const auto ending = context_.dialect->ending(row, answer);
  if (ending.credential_accepted) context_.credentials.accepted(exchange.head());
  count(exchange, row, Served::source, ending.failed ? "error" : "ok");
}

std::string_view Pipeline::verdict(const Row* row, const net::Response& answer) const {
  return context_.dialect->ending(row, answer).failed ? "error" : "ok";
}

void Pipeline::count(const net::Exchange& exchange, const Row* row, Served side, std::string_view outcome) {
  requests_.ended(row, side, outcome,
                  std::chrono::duration<double>(context_.clock.now() - exchange.began()).count());
}

}  // namespace vmproxy::proxy
