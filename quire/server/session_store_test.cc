#include "quire/server/session_store.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "quire/server/session_routes.h"

namespace quire {
namespace {

Session Of(const std::string& owner, int64_t ttl_s = 100) {
  Session session;
  session.owner = owner;
  session.ttl_s = ttl_s;
  return session;
}

TEST(SessionStore, IsTheOwnersAlone) {
  SessionStore store;
  const Session mine = store.Add(Of("anna"), 1000).value();
  EXPECT_TRUE(mine.id.starts_with("sess-"));
  EXPECT_TRUE(store.Find("anna", mine.id, 1000).has_value());
  for (const char* other : {"ben", "", "anna "}) {
    for (const ApiError& error :
         {store.Find(other, mine.id, 1000).error(), store.Remove(other, mine.id, 1000).error(),
          store.Restore(other, mine.id, 1000).error(), store.Save(other, mine.id, 1000).error()}) {
      EXPECT_EQ(error.status, 404);
      EXPECT_EQ(error.message, store.Find(other, "sess-none", 1000).error().message.replace(21, 9, mine.id))
          << "no difference to one that does not exist";
    }
    EXPECT_TRUE(store.List(other, "", 10, 1000).empty());
  }
  EXPECT_EQ(store.List("anna", "", 10, 1000).size(), 1u);
  EXPECT_TRUE(store.Remove("anna", mine.id, 1000).has_value());
  EXPECT_EQ(store.size(), 0u);
}

TEST(SessionStore, GoesWhenItIsNotUsed) {
  SessionStore store;
  const std::string id = store.Add(Of("anna", 50), 1000)->id;
  EXPECT_EQ(store.Record(id, {1, 2, 3}, 1040)->tokens.size(), 3u);
  EXPECT_TRUE(store.Find("anna", id, 1089).has_value());
  EXPECT_FALSE(store.Find("anna", id, 1090).has_value());
  EXPECT_FALSE(store.Record(id, {1}, 1090).has_value());
  const std::string other = store.Add(Of("anna", 50), 1200)->id;
  store.Add(Of("ben", 5000), 1251);
  EXPECT_EQ(store.size(), 2u) << "looks once a minute";
  store.Add(Of("ben", 5000), 1270);
  EXPECT_EQ(store.size(), 2u);
  EXPECT_FALSE(store.Find("anna", other, 1270).has_value());
}

TEST(SessionStore, HasRoomForSoManyOfAnOwner) {
  SessionStore store;
  std::string first;
  for (size_t i = 0; i < SessionStore::kMostOfOwner; ++i) first = store.Add(Of("anna"), 1000)->id;
  const auto refused = store.Add(Of("anna"), 1000);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().status, 429);
  EXPECT_TRUE(store.Add(Of("ben"), 1000).has_value());
  store.Remove("anna", first, 1000);
  EXPECT_TRUE(store.Add(Of("anna"), 1000).has_value());
}

TEST(SessionStore, ListsPageByPage) {
  SessionStore store;
  for (int i = 0; i < 5; ++i) store.Add(Of("anna", 1000), 1000 + i);
  const auto first = store.List("anna", "", 2, 1010);
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(first[0].created, 1004) << "the newest first";
  const auto second = store.List("anna", first[1].id, 10, 1010);
  ASSERT_EQ(second.size(), 3u);
  EXPECT_EQ(second[0].created, 1002);
}

TEST(SessionStore, WhatIsSavedIsThereAgain) {
  const auto path = std::filesystem::temp_directory_path() / fmt::format("quire_sessions_{}", getpid());
  const RecordFolder folder(path, "f", "");
  std::string id;
  {
    SessionStore store;
    store.Open(&folder, 100);
    Session session = Of("anna", 10);
    session.name = "research";
    session.salt = "salt";
    session.metadata = {{"k", "v\n\"quoted\""}};
    id = store.Add(session, 1000)->id;
    store.Record(id, {5, 6, 99}, 1001);
    EXPECT_EQ(store.Restore("anna", id, 1001).error().status, 409) << "it was not saved";
    ASSERT_TRUE(store.Save("anna", id, 1002).has_value());
    store.Record(id, {7}, 1003);
    EXPECT_EQ(store.Restore("anna", id, 1004)->tokens, (std::vector<Token>{5, 6, 99}));
  }
  {
    SessionStore store;
    store.Open(&folder, 100);
    EXPECT_FALSE(store.Find("ben", id, 999'999).has_value());
    const Session session = store.Find("anna", id, 999'999).value();  // what is saved does not end
    EXPECT_EQ(session.name, "research");
    EXPECT_EQ(session.salt, "salt");
    EXPECT_EQ(session.metadata["k"], "v\n\"quoted\"");
    EXPECT_EQ(session.tokens, (std::vector<Token>{5, 6, 99}));
    EXPECT_EQ(session.saved, 1002);
  }
  {
    SessionStore store;
    store.Open(&folder, 99);
    EXPECT_EQ(store.size(), 0u) << "token 99 is none of this model";
  }
  for (const char* bad : {"", "{}", "{}\n123", "not json\n1234", "{\"id\": 5}\n1234"}) {
    ASSERT_TRUE(folder.Write(id, bad).has_value());
    SessionStore store;
    store.Open(&folder, 100);
    EXPECT_EQ(store.size(), 0u) << bad;
  }
  std::filesystem::remove_all(path);
}

TEST(OwnerOf, HidesTheKey) {
  EXPECT_EQ(OwnerOf("", "anna"), "anna");
  const std::string owner = OwnerOf("secret", "anna");
  EXPECT_EQ(owner, OwnerOf("secret", "ben"));
  EXPECT_NE(owner, OwnerOf("secret2", "anna"));
  EXPECT_EQ(owner.find("secret"), std::string::npos);
}

}  // namespace
}  // namespace quire
