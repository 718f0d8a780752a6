// Ledger: which intents are not finished yet, and so how far the journal may be trimmed (invariant I12). Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <utility>

#include "journal/journal.h"

namespace vmproxy::proxy {

class Ledger {
 public:
  explicit Ledger(journal::Journal& journal) : journal_(journal) {}

  // Called where the append completes, in order of seq: nothing at or above it is trimmed until close().
  void open(journal::Seq seq);
  // The write will be finished by this many entries; 0 finishes it now.
  void expect(journal::Seq seq, uint64_t entries);
  void done(journal::Seq seq);
  // Keeps everything from `seq` on, until released (an uncertain predicate needs the records after its enumeration).
  void hold(journal::Seq seq);
  void release(journal::Seq seq);
  // hold() until it goes. It does not outlive the ledger.
  class Hold {
   public:
    Hold() = default;
    Hold(Ledger& ledger, journal::Seq seq) : ledger_(&ledger), seq_(seq) { ledger.hold(seq); }
    Hold(Hold&& other) noexcept : ledger_(std::exchange(other.ledger_, nullptr)), seq_(other.seq_) {}
    Hold& operator=(Hold&& other) noexcept {
      std::swap(ledger_, other.ledger_);
      std::swap(seq_, other.seq_);
      return *this;
    }
    ~Hold() {
      if (ledger_ != nullptr) ledger_->release(seq_);
    }

   private:
    Ledger* ledger_ = nullptr;
    journal::Seq seq_ = 0;
  };
  // Trims what close() left for a later, larger step.
  void flush();
  // Everything below `seq` is finished, and the journal does not have it any more.
  bool gone_below(journal::Seq seq);
  uint64_t unfinished() const;

 private:
  friend struct Peek;
  void close(journal::Seq seq);  // lock held
  void trim(journal::Seq step);  // lock held

  journal::Journal& journal_;
  mutable std::mutex mutex_;
  std::map<journal::Seq, uint64_t> open_;  // seq -> entries still expected
  std::map<journal::Seq, int> held_;
  journal::Seq last_closed_ = 0;
  journal::Seq trimmed_ = 0;
};

}  // namespace vmproxy::proxy
