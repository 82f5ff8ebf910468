//! Appends records durably in group commits and replays them in order.
