// Credentials: who the source let in. After promotion a request is served only when its credential was accepted by the
// source before; kept as salted SHA-256, never in clear. Thread-safe.
#pragma once

#include <mutex>
#include <set>
#include <string>

#include "journal/journal.h"

namespace vmproxy::proxy {

class Credentials {
 public:
  explicit Credentials(journal::Journal& journal) : journal_(journal) {}
  Result<void> restore();
  void accepted(const std::string& credential);
  bool known(const std::string& credential) const;

 private:
  std::string hash(const std::string& credential) const;

  journal::Journal& journal_;
  mutable std::mutex mutex_;
  std::string salt_;
  std::set<std::string> hashes_;
  std::string last_;  // of accepted(): most applications have one
  bool any_ = false;
};

}  // namespace vmproxy::proxy
