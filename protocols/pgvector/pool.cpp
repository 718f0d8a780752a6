#include "protocols/pgvector/pool.h"

namespace vmproxy::protocols::pgvector {
namespace {
constexpr auto idle_max = std::chrono::minutes(5);
// What a connection knows of the server's clock (Connection::guard) must not grow old.
constexpr auto age_max = std::chrono::minutes(10);
}  // namespace

Pool::Pool(Address address, Clock& clock, size_t connections_max)
    : address_(std::move(address)), clock_(clock), connections_max_(connections_max) {}

Pool::~Pool() = default;

Result<Pool::Lease> Pool::take(Deadline deadline) {
  std::unique_lock lock(mutex_);
  while (true) {
    const bool free = clock_.wait_until(lock, changed_, deadline,
                                        [this] { return !idle_.empty() || open_ < connections_max_; });
    if (!free) {
      return Error{Code::overloaded, "all " + std::to_string(connections_max_) + " connections to " +
                                         address_.shown + " are busy until the deadline; nothing was sent"};
    }
    if (idle_.empty()) break;
    auto connection = std::move(idle_.back());
    idle_.pop_back();
    // The server may have restarted or closed it meanwhile: found out now, not by a write that fails.
    const bool fresh =
        clock_.now() - connection->last_used() < idle_max && clock_.now() - connection->opened() < age_max;
    if (fresh && connection->still_open()) return Lease(*this, std::move(connection));
    --open_;
  }
  ++open_;
  lock.unlock();
  auto opened = Connection::open(address_, clock_, deadline);
  if (opened) return Lease(*this, std::move(*opened));
  lock.lock();
  --open_;
  lock.unlock();
  changed_.notify_one();
  return opened.error();
}

void Pool::give_back(std::unique_ptr<Connection> connection) {
  {
    std::lock_guard hold(mutex_);
    if (connection->usable()) {
      idle_.push_back(std::move(connection));
    } else {
      --open_;
    }
  }
  changed_.notify_one();
}

}  // namespace vmproxy::protocols::pgvector
