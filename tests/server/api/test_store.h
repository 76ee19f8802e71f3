// A store with a few rooms, and the API called as the server calls it, without sockets.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "api/router.h"
#include "support/temp_dir.h"
#include "zn/engine/store.h"

namespace zn::server {

/// Frames of `sizes` atoms: arrays.positions (float32, x = 100 frame + atom), arrays.numbers (1 +
/// atom), cell; calc.energy (the frame's index) in even frames only; info.name as JSON text.
inline FrameBatch Molecules(const std::vector<int32_t>& sizes, float offset = 0) {
  FrameBatch batch;
  batch.n_atoms = sizes;
  std::vector<float> positions;
  std::vector<int64_t> numbers;
  std::vector<double> cells, energies;
  Column energy, name;
  for (size_t f = 0; f < sizes.size(); ++f) {
    for (int32_t a = 0; a < sizes[f]; ++a) {
      for (int k = 0; k < 3; ++k)
        positions.push_back(offset + static_cast<float>(100 * f) + static_cast<float>(a) +
                            0.25f * static_cast<float>(k));
      numbers.push_back(1 + a);
    }
    for (int k = 0; k < 9; ++k) cells.push_back(k % 4 == 0 ? 10 : 0);
    energy.present.push_back(f % 2 == 0);
    if (f % 2 == 0) energies.push_back(static_cast<double>(f));
    name.text.push_back("\"frame " + std::to_string(f) + "\"");
  }
  batch.columns.push_back(
      {"arrays.positions", FieldKind::kAtom, DType::kFloat32, Shape{3}, Buffer::Own(positions)});
  batch.columns.push_back(
      {"arrays.numbers", FieldKind::kAtom, DType::kInt64, Shape{}, Buffer::Own(numbers)});
  batch.columns.push_back(
      {"cell", FieldKind::kFrame, DType::kFloat64, Shape{3, 3}, Buffer::Own(cells)});
  energy.name = "calc.energy";
  energy.data = Buffer::Own(energies);
  batch.columns.push_back(std::move(energy));
  name.name = "info.name";
  name.dtype = DType::kJson;
  batch.columns.push_back(std::move(name));
  return batch;
}

class ApiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    StoreOptions options;
    options.create = true;
    auto store = Store::Open(directory_.path() + "/store", options);
    ASSERT_TRUE(store) << store.error().message;
    store_ = std::move(*store);
    service_.store = store_.get();
    ASSERT_TRUE(service_.Start({}));
    handler_ = std::make_unique<ApiHandler>(&service_);
    room_ = MakeRoom("md", Molecules({2, 3, 0, 5}));
  }

  std::shared_ptr<Room> MakeRoom(const std::string& name, const FrameBatch& frames) {
    auto room = store_->CreateRoom(name, {}, {"tester", ""});
    EXPECT_TRUE(room) << room.error().message;
    auto info = (*room)->Append(frames, {"tester", ""});
    EXPECT_TRUE(info) << info.error().message;
    return *room;
  }

  /// A finished reply; `headers` are further complete lines.
  Reply Get(const std::string& target, const std::string& headers = "",
            const std::string& method = "GET", const std::string& body = "") {
    auto owned = OwnedRequest::Copy(method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n" +
                                    headers + "\r\n");
    owned->body = body;
    owned->request.local = true;
    Reply reply = Finish(owned->request, handler_->Handle(*owned));
    if (reply.pending) {
      auto durable = reply.pending->Wait();
      EXPECT_TRUE(durable) << durable.error().message;
    }
    while (reply.stream) {
      auto more = reply.stream->Next(&reply.body);
      EXPECT_TRUE(more) << more.error().message;
      if (!more || !*more) reply.stream.reset();
    }
    return reply;
  }
  nlohmann::json GetJson(const std::string& target) {
    return nlohmann::json::parse(Flatten(Get(target).body), nullptr, false);
  }

  TempDir directory_;
  std::unique_ptr<Store> store_;
  Service service_;
  std::unique_ptr<ApiHandler> handler_;
  std::shared_ptr<Room> room_;
};

}  // namespace zn::server
