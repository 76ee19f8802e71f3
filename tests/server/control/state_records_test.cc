// State records and access on a store: if these fail, one client's setting overwrites another's unseen, or somebody gets in
// who should not.

#include "control/state_records.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "control/access.h"
#include "control/secrets.h"
#include "support/temp_dir.h"

namespace zn::server {
namespace {

class Records : public testing::Test {
 protected:
  Records() { Open(); }
  void Open() {
    state_.reset();
    store_.reset();
    StoreOptions options;
    options.create = true;
    options.threads = 1;
    options.background_maintenance = false;
    store_ = std::move(*Store::Open(directory_.path() + "/s", options));
    if (!store_->OpenRoom("r")) (void)store_->CreateRoom("r", {}, {});
    key_ = {(*store_->OpenRoom("r"))->Head().incarnation(), "r"};
    state_ = std::make_unique<StateRecords>(store_.get(), [this] { return now_ns_; });
    state_->SetListener([this](const RoomKey&, const StateRecord& record) { told_.push_back(record); });
  }
  Answer<std::vector<StateRecord>> Change(StateChange change) { return state_->Apply(key_, {&change, 1}, {"ann", "test"}); }
  Answer<std::vector<StateRecord>> Put(const std::string& key, const std::string& value,
                                       std::optional<uint64_t> base = {}) {
    return Change({{"settings", "view", key}, false, value, base, false});
  }
  Answer<std::vector<StateRecord>> Erase(const std::string& key, std::optional<uint64_t> base = {}) {
    return Change({{"settings", "view", key}, true, "", base, false});
  }
  static int Status(const Answer<std::vector<StateRecord>>& answer) { return answer ? 200 : answer.error().status; }
  std::unique_ptr<Access> OpenAccess(const AccessOptions& options = {}) {
    auto access = Access::Open(store_.get(), options, [this] { return now_ns_; });
    EXPECT_TRUE(access) << access.error().message;
    return access ? std::move(*access) : nullptr;
  }

  TempDir directory_;
  std::unique_ptr<Store> store_;
  RoomKey key_;
  int64_t now_ns_ = 1'700'000'000'000'000'000;
  std::unique_ptr<StateRecords> state_;
  std::vector<StateRecord> told_;
};

TEST_F(Records, VersionsGoOnAfterAnEnd) {
  EXPECT_EQ(Put("k", "1", 0)->front().version, 1u);
  EXPECT_EQ(Put("k", "2", 1)->front().version, 2u);
  EXPECT_EQ(Erase("k", 2)->front().version, 3u);
  EXPECT_EQ(Status(Erase("k", 2)), 200) << "erased already: a retry";
  EXPECT_EQ(Put("k", "3", 0)->front().version, 4u);
  Open();
  EXPECT_EQ(Put("k", "4", 4)->front().version, 5u) << "also across a restart";
  const auto read = state_->Get(key_.incarnation, {"settings", "view", "k"});
  ASSERT_TRUE(read && *read);
  EXPECT_EQ((*read)->value, "4");
  EXPECT_EQ((*read)->actor, "ann");
  EXPECT_EQ((*read)->timestamp_ns, now_ns_);
}

TEST_F(Records, NobodyOverwritesUnknowingly) {
  ASSERT_TRUE(Put("k", "1"));
  EXPECT_EQ(Status(Put("k", "2")), 428);
  EXPECT_EQ(Status(Put("k", "2", 0)), 409);
  EXPECT_EQ(Status(Put("k", "2", 7)), 409);
  EXPECT_EQ(Status(Put("k", "1", 7)), 200) << "the value is there already: a retry";
  EXPECT_EQ(Status(Erase("k")), 428);
  EXPECT_EQ(Status(Erase("other")), 404);
  const auto stale = Change({{"settings", "view", "k"}, false, "3", 9, true});
  ASSERT_EQ(Status(stale), 412);
  const std::string text = stale.error().ToJson("/");
  EXPECT_NE(text.find("\"latest\":{\"actor_id\":\"ann\",\"origin\":"), std::string::npos) << text;
  EXPECT_NE(text.find("\"value\":1,\"version\":1}"), std::string::npos) << text;
  EXPECT_EQ(told_.size(), 1u) << "who changed nothing is not told of";
}

TEST_F(Records, ABatchIsAllOrNothing) {
  ASSERT_TRUE(Put("b", "1"));
  std::vector<StateChange> changes = {{{"s", "t", "a"}, false, "1", 0, false},
                                      {{"settings", "view", "b"}, false, "2", 5, false}};
  EXPECT_EQ(Status(state_->Apply(key_, changes, {})), 409);
  EXPECT_FALSE(*state_->Get(key_.incarnation, {"s", "t", "a"}));
  changes[1].base = 1;
  EXPECT_EQ(Status(state_->Apply(key_, changes, {})), 200);
  EXPECT_EQ(state_->List(key_.incarnation, "", "", 100, "")->size(), 2u);
  changes[1].name = changes[0].name;
  EXPECT_EQ(Status(state_->Apply(key_, changes, {})), 400) << "one record twice";
  changes.assign(kMaxStateBatch + 1, {});
  EXPECT_EQ(Status(state_->Apply(key_, changes, {})), 400);
  EXPECT_EQ(Status(Put("big", std::string(kMaxStateValue + 1, '1'))), 413);
  EXPECT_EQ(Status(Put(std::string("n\0ul", 4), "1")), 400);
}

TEST_F(Records, AreListedByScopeAndTargetAndInPages) {
  for (const char* target : {"1", "10", "2"})
    for (const char* key : {"x", "y"}) ASSERT_TRUE(Change({{"frame", target, key}, false, "true", {}, false}));
  ASSERT_TRUE(Put("k", "1"));
  const auto names = [](const Result<std::vector<StateRecord>>& list) {
    std::string text;
    for (const StateRecord& record : *list)
      text += record.name.scope + "/" + record.name.target + "/" + record.name.key + " ";
    return text;
  };
  EXPECT_EQ(names(state_->List(key_.incarnation, "frame", "1", 100, "")), "frame/1/x frame/1/y ");
  const auto page = state_->List(key_.incarnation, "", "", 4, "");
  EXPECT_EQ(names(page), "frame/1/x frame/1/y frame/10/x frame/10/y ");
  EXPECT_EQ(names(state_->List(key_.incarnation, "", "", 4, StateRecords::Place(page->back().name))),
            "frame/2/x frame/2/y settings/view/k ");
  EXPECT_EQ(names(state_->List(key_.incarnation + 1, "", "", 100, "")), "");
}

TEST_F(Records, ARoomThatIsGoneLeavesNothing) {
  ASSERT_TRUE(Put("k", "1"));
  ASSERT_TRUE(store_->Update(
      [&](RecordTransaction& t) { return t.Put(FenceKey(key_.incarnation, LockTarget::Meta()), "f"); }));
  EXPECT_EQ(*state_->Sweep(1000), 0u) << "it is there";
  ASSERT_TRUE(store_->DeleteRoom("r", {}));
  EXPECT_EQ(*state_->Sweep(1000), 2u);
  EXPECT_TRUE(store_->records().ScanPrefix("state", 10)->empty());
  EXPECT_TRUE(store_->records().ScanPrefix("fence", 10)->empty());
}

TEST_F(Records, ListenersHearOfThemInOrder) {
  std::vector<std::thread> threads;
  for (int n = 0; n < 4; ++n) {
    threads.emplace_back([&, n] {
      for (int i = 0; i < 40; ++i) {
        const auto now = *state_->Get(key_.incarnation, {"settings", "view", "k"});
        (void)Put("k", std::to_string(100 * n + i), now ? now->version : 0);  // many lose, and some win
      }
    });
  }
  for (auto& thread : threads) thread.join();
  ASSERT_FALSE(told_.empty());
  for (size_t i = 0; i < told_.size(); ++i) EXPECT_EQ(told_[i].version, i + 1);
  EXPECT_EQ((*state_->Get(key_.incarnation, {"settings", "view", "k"}))->version, told_.size());
}

TEST_F(Records, EveryChangeIsInTheAuditLog) {
  ASSERT_TRUE(Put("k", "1"));
  ASSERT_TRUE(Put("k", "2", 1));
  ASSERT_TRUE(Erase("k", 2));
  const auto lines = store_->records().Audit("r", 0, 10);
  ASSERT_EQ(lines->size(), 3u);
  const auto last = nlohmann::json::parse((*lines)[2].line);
  EXPECT_EQ(last["old"], 2);
  EXPECT_EQ(last["new"], nullptr);
  EXPECT_EQ(last["version"], 3);
  EXPECT_EQ(last["actor"], "ann");
  EXPECT_EQ(last["key"], "k");
}

TEST_F(Records, TokensAreKnownByTheirHashAndEnd) {
  const auto access = OpenAccess();
  const auto token = CreateToken(*store_, "ann", *ParseScopes("r=read,write;other=read"), now_ns_ + 1000, now_ns_, "test");
  ASSERT_TRUE(token) << token.error().message;
  const auto caller = access->Identify(*token, false);
  ASSERT_TRUE(caller);
  EXPECT_EQ(caller->name, "ann");
  EXPECT_TRUE(caller->May(Scope::kWrite, "r"));
  EXPECT_FALSE(caller->May(Scope::kLock, "r"));
  EXPECT_FALSE(caller->May(Scope::kWrite, "other"));
  EXPECT_FALSE(caller->May(Scope::kRead, "third"));
  EXPECT_FALSE(caller->IsAdmin("r"));
  const auto all = store_->records().Scan("", "", 1000);
  for (const Record& record : *all) {
    EXPECT_EQ(record.key.find(*token), std::string::npos) << "a token is nowhere in the store";
    EXPECT_EQ(record.value.find(*token), std::string::npos);
  }
  std::string wrong = *token;
  wrong[5] = wrong[5] == '0' ? '1' : '0';
  EXPECT_EQ(access->Identify(wrong, true).error().status, 401) << "who has a wrong token is not nobody";
  now_ns_ += 1000;
  EXPECT_EQ(access->Identify(*token, false).error().status, 401);
  now_ns_ -= 1000;
  const auto tokens = ListTokens(*store_);
  ASSERT_EQ(tokens->size(), 1u);
  ASSERT_TRUE(RevokeToken(*store_, tokens->front().id.substr(0, 6), now_ns_, "test"));
  EXPECT_EQ(access->Identify(*token, false).error().status, 401);
  EXPECT_FALSE(RevokeToken(*store_, "ann", now_ns_, "test"));
  EXPECT_EQ(store_->records().Audit("", 0, 10)->size(), 2u);
}

TEST_F(Records, AnonymousCallersAreHereOnlyAndNoAdmins) {
  const auto access = OpenAccess();
  const auto here = access->Identify("", true);
  ASSERT_TRUE(here);
  EXPECT_TRUE(here->May(Scope::kLock, "r"));
  EXPECT_FALSE(here->IsAdmin());
  EXPECT_EQ(access->Identify("", false).error().status, 401);
  AccessOptions strict;
  strict.anonymous_on_loopback = false;
  EXPECT_EQ(OpenAccess(strict)->Identify("", true).error().status, 401);
}

TEST_F(Records, AnAdminLogsIn) {
  AccessOptions options;
  EXPECT_EQ(OpenAccess()->Login("", "").error().status, 404);
  options.admin_username = "root";
  EXPECT_FALSE(Access::Open(store_.get(), options, [this] { return now_ns_; })) << "without a password";
  options.admin_password = "secret";
  auto access = OpenAccess(options);
  EXPECT_EQ(access->Login("root", "wrong").error().status, 401);
  const auto session = access->Login("root", "secret");
  ASSERT_TRUE(session);
  const auto admin = access->Identify(*session, false);
  ASSERT_TRUE(admin);
  EXPECT_TRUE(admin->IsAdmin());
  for (size_t i = 0; i < session->size(); ++i) {
    std::string forged = *session;
    forged[i] = forged[i] == '1' ? '2' : '1';
    EXPECT_FALSE(access->Identify(forged, false)) << i;
  }
  // The store keeps the secret, so that a session outlives the process; one of another secret is worth nothing.
  access = OpenAccess(options);
  EXPECT_TRUE(access->Identify(*session, false));
  options.session_secret = "another";
  EXPECT_FALSE(OpenAccess(options)->Identify(*session, false));
  now_ns_ += access->session_seconds() * 1'000'000'000;
  EXPECT_FALSE(access->Identify(*session, false));
}

TEST(ScopesText, RoundTripsAndRefusesWhatIsNone) {
  EXPECT_EQ(FormatScopes(*ParseScopes("write,read")), "*=read,write");
  EXPECT_EQ(FormatScopes(*ParseScopes("b=admin;a=read")), "a=read;b=admin");
  for (const char* bad : {"", "reed", "a=", "a=read;x=", "../x=read"}) EXPECT_FALSE(ParseScopes(bad)) << bad;
}

TEST(HmacSha256, AgreesWithRfc4231) {
  EXPECT_EQ(ToHex(HmacSha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST_F(Records, AWatchEndsWithItsToken) {
  const auto access = OpenAccess();
  const int64_t soon = now_ns_ + 1'000'000'000;
  const auto scopes = *ParseScopes("read");
  const std::string kept = *CreateToken(*store_, "kept", scopes, 0, now_ns_, "root");
  const std::string gone = *CreateToken(*store_, "gone", scopes, 0, now_ns_, "root");
  const std::string brief = *CreateToken(*store_, "brief", scopes, soon, now_ns_, "root");
  const auto watch = [&](const std::string& token) { return Access::Watch(access.get(), token, true, *access->Identify(token, true)); };
  Access::Watch anonymous = watch(""), stays = watch(kept), ends = watch(gone), expires = watch(brief);
  const auto over = [&] {
    return std::array{anonymous.Over().has_value(), stays.Over().has_value(), ends.Over().has_value(), expires.Over().has_value()};
  };
  EXPECT_EQ(over(), (std::array{false, false, false, false}));
  ASSERT_TRUE(Put("k", "1", 0)) << "other records change";
  EXPECT_EQ(over(), (std::array{false, false, false, false}));
  ASSERT_TRUE(RevokeToken(*store_, "gone", now_ns_, "root"));
  EXPECT_EQ(over(), (std::array{false, false, true, false}));
  now_ns_ = soon;
  EXPECT_EQ(over(), (std::array{false, false, true, true}));
}

}  // namespace
}  // namespace zn::server
