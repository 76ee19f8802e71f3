// Fields' names for H5MD's elements (docs/h5md.md, "What is read").
#pragma once

#include <string>

#include "h5md/elements.h"

namespace zn::formats {

/// For an element of the particle group; species are arrays.numbers, whatever they turn out to be.
std::string ParticleFieldName(const Element& element, bool per_atom);

/// For an element of observables.
std::string ObservableFieldName(const Element& element, Dialect dialect);

}  // namespace zn::formats
