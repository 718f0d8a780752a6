// Credentials: who the source let in. After promotion a request is served only when its credential was accepted by the
// source before; kept as salted SHA-256, never in clear.
//
// What is kept is true in the form that it was kept in (Dialect::credential_form): "by authorization alone" says nothing of
// who has which key beside it. So each state says its form. A start in another form (another auth.header, another version)
// forgets who was let in while the source is the primary, which is asked again; while the target is, nobody can be asked,
// and callers are told apart as they were.
//
// Thread-safe once restored.
#pragma once

#include <mutex>
#include <set>
#include <string>

#include "journal/journal.h"
#include "protocols/api/dialect.h"

namespace vmproxy::proxy {

class Credentials {
 public:
  // No dialect: nobody asks. Both outlive this.
  Credentials(journal::Journal& journal, const protocols::Dialect* dialect)
      : journal_(journal), dialect_(dialect) {}
  // Blocks; once, before the first request. `primary`: of the state that is started.
  Result<void> restore(journal::Side primary);
  // The form is one of before the promotion, and not the one that this configuration and version would have.
  bool form_is_kept() const { return form_is_kept_; }

  std::string of(const net::RequestHead& head) const { return dialect_->credential(head, form_); }
  void accepted(const net::RequestHead& head);
  bool known(const net::RequestHead& head) const;

 private:
  std::string hash(const std::string& credential) const;

  journal::Journal& journal_;
  const protocols::Dialect* const dialect_;
  std::string salt_, form_;  // as restored
  bool form_is_kept_ = false;
  mutable std::mutex mutex_;
  std::set<std::string> hashes_;  // at most 10,000
  std::string last_;              // of accepted(): most applications have one
  bool any_ = false;
};

}  // namespace vmproxy::proxy
