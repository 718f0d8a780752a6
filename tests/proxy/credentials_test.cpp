#include "proxy/credentials.h"

#include "tests/support/fake_dialect.h"
#include "tests/support/kept.h"

using namespace vmproxy;
using journal::Side;

namespace {

net::RequestHead asking(net::Headers headers) {
  net::RequestHead head;
  head.headers = std::move(headers);
  return head;
}

struct Door : support::Kept {
  support::FakeDialect dialect;
  std::unique_ptr<proxy::Credentials> credentials;

  // A start with this header in the configuration.
  void start(Side primary, const std::string& auth_header = "who") {
    dialect.auth_header = auth_header;
    credentials = std::make_unique<proxy::Credentials>(*journal, &dialect);
    REQUIRE(credentials->restore(primary));
  }
  bool known(net::Headers headers) const { return credentials->known(asking(std::move(headers))); }
  // The source lets this one in.
  void accept(net::Headers headers) {
    credentials->accepted(asking(std::move(headers)));
    commit();
  }
  // As a version wrote it that kept no form: SHA-256 of "pepper" and "alice".
  void former_state() {
    std::string hash;
    const std::string hex = "b1b68da447843a6519d8dd7a9c13c90aa1148805cbe55810f86712e6c294ff36";
    for (size_t i = 0; i < hex.size(); i += 2)
      hash += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    const std::string table(journal::rows::credentials);
    REQUIRE(journal->commit_rows({{table, "salt", "pepper"}, {table, hash, ""}}));
  }
};

}  // namespace

TEST_CASE("who was let in is known after a restart, everybody else is not") {
  Door door;
  for (const Side after : {Side::source, Side::target}) {
    CAPTURE(after == Side::target);
    door.start(Side::source);
    door.accept({{"who", "alice"}});
    door.start(after);
    CHECK_FALSE(door.credentials->form_is_kept());
    CHECK(door.known({{"Who", "alice"}}));
    CHECK_FALSE(door.known({{"who", "bob"}}));
    CHECK_FALSE(door.known({}));
  }
}

TEST_CASE(
    "who has another key beside the same authorization is somebody else, another cookie changes nothing") {
  Door door;
  door.start(Side::source);
  door.accept({{"authorization", "shared"}, {"x-api-key", "a"}});
  CHECK(door.known({{"authorization", "shared"}, {"x-api-key", "a"}, {"cookie", "node=2"}}));
  CHECK_FALSE(door.known({{"authorization", "shared"}, {"x-api-key", "b"}}));
  CHECK_FALSE(door.known({{"authorization", "shared"}}));
}

TEST_CASE(
    "a state that another version promoted knows its callers in its own form, until the source is asked again") {
  Door door;
  door.former_state();
  for (int start = 0; start < 2; ++start) {
    CAPTURE(start);
    door.start(Side::target);
    CHECK(door.credentials->form_is_kept());
    CHECK(door.known({{"who", "alice"}}));
    CHECK(door.known({{"who", "alice"}, {"x-api-key", "k"}}));  // no other header counted
    CHECK_FALSE(door.known({{"who", "bob"}, {"x-api-key", "k"}}));
    CHECK_FALSE(door.known({{"x-api-key", "k"}}));
  }
  door.accept({{"who", "carol"}, {"x-api-key", "k"}});  // by the source, while a rollback is under way
  door.start(Side::target);
  CHECK(door.known({{"who", "carol"}}));

  door.start(Side::source);
  CHECK_FALSE(door.credentials->form_is_kept());
  CHECK_FALSE(door.known({{"who", "alice"}}));
  CHECK(door.rows(journal::rows::credentials) == 2);  // salt and form
  door.accept({{"who", "alice"}, {"x-api-key", "k"}});
  door.start(Side::target);
  CHECK(door.known({{"who", "alice"}, {"x-api-key", "k"}}));
  CHECK_FALSE(door.known({{"who", "alice"}}));
}

TEST_CASE("a state that this version began is never read in the former form") {
  Door door;
  door.start(Side::source);
  door.accept({{"x-api-key", "k"}});  // in the former form nobody in particular
  door.start(Side::target);
  CHECK(door.known({{"x-api-key", "k"}}));
  CHECK_FALSE(door.known({}));
  CHECK_FALSE(door.known({{"x-api-key", "other"}}));
}

TEST_CASE(
    "another header in the configuration shuts nobody out while the target is the primary, and is asked about before") {
  Door door;
  door.start(Side::source, "x-one");
  door.accept({{"x-one", "alice"}, {"x-two", "first"}});
  door.start(Side::target, "x-two");
  CHECK(door.credentials->form_is_kept());
  CHECK(door.known({{"x-one", "alice"}, {"x-two", "second"}}));
  CHECK_FALSE(door.known({{"x-one", "bob"}, {"x-two", "first"}}));
  door.start(Side::source, "x-two");
  CHECK_FALSE(door.known({{"x-one", "alice"}, {"x-two", "first"}}));
  door.accept({{"x-one", "alice"}, {"x-two", "first"}});
  door.start(Side::target, "x-two");
  CHECK(door.known({{"x-one", "bob"}, {"x-two", "first"}}));
  CHECK_FALSE(door.known({{"x-one", "alice"}, {"x-two", "second"}}));
}

TEST_CASE("a state that knows nobody yet has the form of this version, whoever is the primary") {
  Door door;
  door.start(Side::target);
  CHECK_FALSE(door.credentials->form_is_kept());
  door.accept({{"x-api-key", "k"}});
  door.start(Side::target);
  CHECK(door.known({{"x-api-key", "k"}}));
  CHECK_FALSE(door.known({}));
}
