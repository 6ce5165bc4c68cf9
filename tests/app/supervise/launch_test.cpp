// The command of a supervised run: what is read from it and how it is changed.
#include "app/supervise/launch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/runtime/error.h"
#include "tests/support/workshop.h"

namespace switchyard::app {
namespace {

using Words = std::vector<std::string>;
using test::Folder;

TEST(HostLists, AreReadStrictly) {
  const Folder folder;
  test::write_file(folder / "hosts", "# all\nnode1 slots=4\n\n  node2:2  # spare\nnode3\r\n");
  EXPECT_EQ(read_host_file(folder / "hosts"), (std::vector<Host>{{"node1", 4}, {"node2", 2}, {"node3", 1}}));
  EXPECT_EQ(parse_host_list("a:2,b,c:4"), (std::vector<Host>{{"a", 2}, {"b", 1}, {"c", 4}}));
  for (const std::string line : {"node1:", "node1=2", "node1 slots=99999999999999999999", "node1 slots=0",
                                 "node1 slots=x", "node1 max_slots=3", "node1 slots=2 more", ":3"}) {
    test::write_file(folder / "bad", "ok\n" + line + "\n");
    try {
      read_host_file(folder / "bad");
      FAIL() << line;
    } catch (const UserError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("bad:2: a line must be a host"));
    }
  }
  for (const char* list : {"a:0", "a,,b", "a b", "a=1", ":2"})
    EXPECT_THROW(parse_host_list(list), UserError) << list;
  EXPECT_THROW(read_host_file(folder / "absent"), UserError);
  EXPECT_TRUE(read_gone_hosts(folder / "absent").empty());
}

TEST(LayoutFor, KeepsTheExpertAxisWhereItFits) {
  Config config = default_config();
  config.model.moe.experts = 12;
  EXPECT_EQ(layout_for(config, {8, 4}, 100), (Layout{8, 4}));
  EXPECT_EQ(layout_for(config, {8, 4}, 7), (Layout{4, 4}))
      << "6 ranks on axis 3 would need more memory on each";
  EXPECT_EQ(layout_for(config, {8, 4}, 3), (Layout{3, 3}));
  EXPECT_EQ(layout_for(config, {8, 4}, 1), (Layout{1, 1}));
  EXPECT_EQ(layout_for(config, {5, 1}, 4), (Layout{4, 1}));
  config.model.moe.experts = 8;
  EXPECT_EQ(layout_for(config, {8, 8}, 7), (Layout{4, 4})) << "5, 6 and 7 do not divide 8 experts";
  config.model.moe.experts = 0;
  EXPECT_EQ(layout_for(config, {8, 1}, 5), (Layout{5, 1}));
  EXPECT_THROW(layout_for(config, {8, 1}, 0), UserError);
}

TEST(LaunchCommand, FindsRanksOfEveryLauncher) {
  EXPECT_EQ(LaunchCommand({"switchyard", "train", "c.yaml"}).ranks(), 1);
  EXPECT_EQ(LaunchCommand({"scripts/launch", "--", "switchyard", "train", "c.yaml"}).ranks(), 2);
  EXPECT_EQ(LaunchCommand({"/usr/bin/mpirun", "-np", "8", "switchyard", "train", "c.yaml"}).ranks(), 8);
  EXPECT_EQ(LaunchCommand({"srun", "--ntasks=6", "switchyard", "train", "c.yaml"}).ranks(), 6);
  EXPECT_EQ(LaunchCommand({"mpirun", "switchyard", "train", "c.yaml"}).ranks(), std::nullopt);
  EXPECT_EQ(LaunchCommand({"mpirun", "-n", "2", "switchyard", "train", "c.yaml", "-n", "9"}).ranks(), 2)
      << "what follows the program is the program's";
  for (const char* ranks : {"two", "2x", "0"})
    EXPECT_THROW(LaunchCommand({"mpirun", "-n", ranks, "switchyard", "train"}), UserError) << ranks;
  EXPECT_THROW(LaunchCommand({}), UserError);
}

TEST(LaunchCommand, IsRewrittenForALayoutAndHosts) {
  const Folder folder;
  const LaunchCommand launch(
      {"scripts/launch", "-n", "4", "--", "switchyard", "train", "c.yaml", "--set", "a=b"});
  EXPECT_EQ(launch.with({2, 2}, {}, ""), (Words{"scripts/launch", "-n", "2", "--", "switchyard", "train",
                                                "c.yaml", "--set", "a=b", "--set", "parallel.expert=2"}));

  const LaunchCommand listed({"mpirun", "--host", "a:2,b:2", "-n", "4", "switchyard", "train", "c.yaml"});
  EXPECT_EQ(listed.hosts(), (std::vector<Host>{{"a", 2}, {"b", 2}}));
  EXPECT_EQ(listed.with({2, 1}, {{"b", 2}}, ""), (Words{"mpirun", "--host", "b:2", "-n", "2", "switchyard",
                                                        "train", "c.yaml", "--set", "parallel.expert=1"}));

  test::write_file(folder / "hosts", "a slots=2\nb slots=2\n");
  const LaunchCommand filed(
      {"mpirun", "--hostfile", (folder / "hosts").string(), "switchyard", "train", "c.yaml"});
  EXPECT_EQ(filed.hosts(), (std::vector<Host>{{"a", 2}, {"b", 2}}));
  EXPECT_EQ(filed.with({2, 1}, {{"a", 2}}, folder / "left"),
            (Words{"mpirun", "-n", "2", "--hostfile", (folder / "left").string(), "switchyard", "train",
                   "c.yaml", "--set", "parallel.expert=1"}));
  EXPECT_EQ(test::read_file(folder / "left"), "a slots=2\n");

  EXPECT_EQ(LaunchCommand({"srun", "--ntasks=6", "switchyard", "train", "c.yaml"}).with({3, 3}, {}, "")[1],
            "--ntasks=3");
  EXPECT_THROW(LaunchCommand({"switchyard", "train", "c.yaml"}).with({2, 1}, {}, ""), UserError);
}

TEST(LaunchCommand, KnowsItsLaunchersByAnyOfTheirNames) {
  for (const char* name : {"mpirun", "mpiexec", "orterun", "prterun"}) {
    const LaunchCommand launch(
        {std::string("/opt/") + name, "-n", "2", "-H", "a:1,b:1", "switchyard", "train"});
    EXPECT_TRUE(launch.has_launcher()) << name;
    EXPECT_EQ(launch.hosts(), (std::vector<Host>{{"a", 1}, {"b", 1}})) << name;
  }
  EXPECT_FALSE(LaunchCommand({"switchyard", "train"}).has_launcher());
}

TEST(LaunchCommand, HasHostsOnlyWhereItsLauncherIsTold) {
  EXPECT_EQ(LaunchCommand({"mpirun", "-n", "2", "switchyard", "train"}).hosts(), std::nullopt);
  EXPECT_EQ(LaunchCommand({"srun", "-n", "2", "-H", "a:1", "switchyard", "train"}).hosts(), std::nullopt);
  const Folder folder;
  test::write_file(folder / "hosts", "a slots=2\n");
  const std::string joined = "--hostfile=" + (folder / "hosts").string();
  const LaunchCommand filed({"mpirun", "-n", "2", joined, "switchyard", "train", "c.yaml"});
  EXPECT_EQ(filed.hosts(), (std::vector<Host>{{"a", 2}}));
  EXPECT_EQ(filed.with({1, 1}, {{"a", 1}}, folder / "left"),
            (Words{"mpirun", "-n", "1", "--hostfile=" + (folder / "left").string(), "switchyard", "train",
                   "c.yaml", "--set", "parallel.expert=1"}));
  EXPECT_EQ(LaunchCommand({"mpirun", "-n", "2", "switchyard", "train"}).with({1, 1}, {{"a", 1}}, ""),
            (Words{"mpirun", "-n", "1", "switchyard", "train", "--set", "parallel.expert=1"}))
      << "hosts that the launcher was not told stay untold";
}

TEST(LaunchCommand, IsLeftAloneWhereItIsNotOurs) {
  EXPECT_EQ(LaunchCommand({"switchyard", "train", "c.yaml"}).with({1, 1}, {}, ""),
            (Words{"switchyard", "train", "c.yaml", "--set", "parallel.expert=1"}));
  EXPECT_EQ(LaunchCommand({"sh", "-c", "true"}).with({1, 1}, {}, ""), (Words{"sh", "-c", "true"}));
  EXPECT_EQ(LaunchCommand({"mpirun", "-n", "2"}).with({1, 1}, {}, ""), (Words{"mpirun", "-n", "1"}));
  EXPECT_EQ(LaunchCommand({"mpirun", "-n", "2", "switchyard"}).with({1, 1}, {}, ""),
            (Words{"mpirun", "-n", "1", "switchyard"}));
  EXPECT_EQ(
      LaunchCommand({"mpirun", "-H", "a:1,b:2,c:1", "-n", "4", "switchyard", "train"})
          .with({3, 1}, {{"b", 2}, {"c", 1}}, ""),
      (Words{"mpirun", "-H", "b:2,c:1", "-n", "3", "switchyard", "train", "--set", "parallel.expert=1"}));
  EXPECT_FALSE(LaunchCommand({"switchyard", "train", "--help"}).config());
  EXPECT_EQ(LaunchCommand({"mpirun", "-n", "2", "other"}).with({1, 1}, {}, ""),
            (Words{"mpirun", "-n", "1", "other"}));
  EXPECT_EQ(LaunchCommand({"mpirun", "other", "-n"}).ranks(), std::nullopt) << "an option without its value";
  EXPECT_EQ(LaunchCommand({"mpirun", "-x", "train", "-n", "3", "switchyard", "train"}).ranks(), 3)
      << "the value of an option is no program";
  EXPECT_FALSE(LaunchCommand({"switchyard", "inspect"}).config());
  EXPECT_FALSE(LaunchCommand({"mpirun", "-n", "2"}).config());
}

TEST(LaunchCommand, LeavesOutWhatIsMeantForTheFirstAttempt) {
  EXPECT_EQ(
      LaunchCommand::without_first_attempt_options({"switchyard", "train", "c.yaml", "--fresh", "--inject",
                                                    "kill@step=3", "--set", "a=b", "--inject=x"}),
      (Words{"switchyard", "train", "c.yaml", "--set", "a=b"}));
}

TEST(LaunchCommand, ReadsTheConfigurationOfTrain) {
  const Folder folder;
  test::write_file(folder / "c.yaml", "data: {train: somewhere}\nrun: {name: one}\n");
  const std::string file = (folder / "c.yaml").string();
  const auto config = LaunchCommand({"mpirun", "-n", "4", "switchyard", "train", file, "--set",
                                     "run.name=two", "--log-level", "warn", "--fresh"})
                          .config();
  ASSERT_TRUE(config);
  EXPECT_EQ(config->run.directory, "runs/two");
  EXPECT_FALSE(LaunchCommand({"sh", "-c", "train"}).config());
  EXPECT_THROW(LaunchCommand({"switchyard", "train", (folder / "absent.yaml").string()}).config(), UserError);
}

}  // namespace
}  // namespace switchyard::app
