//! The converged query: filters, graph reach, ranking, fusion.
