package kcl;

import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.leases.LeaseManagementConfig;

/** KCL 2 has no settings of its own here: workers take leases from each other. */
final class Tuning {
  private Tuning() {}

  /**
   * Ends a worker. Not by a graceful shutdown: that of KCL 2 waits for record processors of shards
   * that have ended, which never answer, for as long as their leases are in the table.
   */
  static void stop(Scheduler scheduler) {
    scheduler.shutdown();
  }

  static void apply(LeaseManagementConfig leases) {
    leases.maxLeasesToStealAtOneTime(2);
  }
}
