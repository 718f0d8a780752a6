// What all connections of one link share. One thread.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <list>
#include <memory>
#include <string>

#include "faults.h"
#include "request_log.h"

namespace vmproxy::faultproxy {

class Replay;

struct DirectionCounts {
  uint64_t arrived_bytes = 0;  // read from the one side
  uint64_t passed_bytes = 0;   // written to the other
};

struct Counts {
  uint64_t accepted = 0;
  uint64_t open = 0;            // of the accepted ones, now
  uint64_t connect_failed = 0;  // the upstream was not there: the client saw a RST
  uint64_t cut = 0;             // ended by cut_after
  uint64_t reset = 0;           // ended by a RST of ours, asked for or passed on
  uint64_t duplicated = 0;      // second connections that reached the upstream
  DirectionCounts to_upstream;
  DirectionCounts to_client;

  DirectionCounts& of(Direction direction) {
    return direction == Direction::to_upstream ? to_upstream : to_client;
  }
};

struct LinkState {
  LinkState(std::string n, boost::asio::ip::tcp::endpoint u, RequestLog& l, uint64_t s)
      : name(std::move(n)), upstream(std::move(u)), log(l), seed(s) {}

  const std::string name;
  const boost::asio::ip::tcp::endpoint upstream;
  RequestLog& log;  // outlives everything that runs
  const uint64_t seed;
  LinkFaults faults;
  Counts counts;
  std::list<std::weak_ptr<Replay>> replays;
};

}  // namespace vmproxy::faultproxy
