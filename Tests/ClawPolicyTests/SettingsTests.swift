import ClawPolicy
import Testing

@Suite struct SettingsTests {
    @Test func everyWordIsThereOnce() {
        #expect(LadderStep.words.count == LadderStep.allCases.count && Set(LadderStep.words).count == LadderStep.words.count)
        #expect(LadderClass.words.count == LadderClass.allCases.count)
        for one in LadderClass.allCases { #expect(Ladder.standard(one).steps.count <= Ladder.stepsMax) }
    }
}
