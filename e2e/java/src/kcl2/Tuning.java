package kcl;

import software.amazon.kinesis.leases.LeaseManagementConfig;

/** KCL 2 has no settings of its own here: workers take leases from each other. */
final class Tuning {
  private Tuning() {}

  static void apply(LeaseManagementConfig leases) {
    leases.maxLeasesToStealAtOneTime(2);
  }
}
