//! Near-linear judges of single objects, each exact under conditions that it checks first.
//!
//! One file an object. Each takes the calls of one object, sorted by their beginning, and answers with a
//! legal order or with a few calls that contradict one another; `None` where its conditions do not hold.
//! Models call them from [`Model::monitor`](ordeal_core::Model::monitor).
