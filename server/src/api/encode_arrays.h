// Selections as arrays: the columns format, npy and npz. The source is cut by the largest field.
#pragma once

#include <memory>

#include "api/frame_source.h"
#include "http/body.h"
#include "http/problem.h"

namespace zn::server {

Answer<std::unique_ptr<BodyStream>> ColumnsStream(std::shared_ptr<FrameSource> source);
Answer<std::unique_ptr<BodyStream>> NpyStream(std::shared_ptr<FrameSource> source);
Answer<std::unique_ptr<BodyStream>> NpzStream(std::shared_ptr<FrameSource> source);

}  // namespace zn::server
