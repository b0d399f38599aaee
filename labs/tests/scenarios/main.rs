//! Scenarios against real routing daemons, judged by what the switches hold.

mod rack;
