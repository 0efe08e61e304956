# Copyright (c) mmdckd contributors. All rights reserved.
"""Students that are blind to a fold, against a loop in plain PyTorch."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from helpers.networks import build, dckd, digits, network, shallow_distil
from mmdckd.models.algorithms.folded_pass import predicting
from mmdckd.models.cohorts.batch_folds import BatchFolds
from mmdckd.models.cohorts.fold_plan import FoldPlan
from mmdckd.models.collectors import MeanCollector, build_collector
from mmdckd.models.distillers.statistics import cohort_statistics
from mmdckd.models.losses import DCKDLoss
from mmdckd.models.tasks import Classification, MultiLabel

TAU = 4.0
# Not a row of equal parts, so that a mean over the wrong images is seen.
FOLDS = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 1, 2, 2, 2, 1]


def batch(folds=FOLDS, unlabeled=()):
    data = digits(len(folds))
    for i, (sample, fold) in enumerate(zip(data['data_samples'], folds)):
        sample.set_metainfo(dict(fold=fold))
        if i in unlabeled:
            del sample.gt_label
            sample.set_metainfo(dict(unlabeled=True))
    return data


def warmed(model):
    """A cohort with BatchNorm statistics that are not those of the start."""
    torch.manual_seed(5)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
    return model.double()


def step(model, data):
    data = model.data_preprocessor(copy.deepcopy(data), True)
    data['inputs'] = data['inputs'].double()
    losses = model.loss(**data)
    total, _ = model.parse_losses(losses)
    total.backward()
    return losses, data


def reference(model, data, fold_of, combine, alpha, beta, gamma):
    """The losses and the gradients of one step, image by image."""
    images = data['inputs']
    labels = [int(sample.gt_label) for sample in data['data_samples']]
    students = copy.deepcopy(dict(model.cohort.items()))
    blind = {
        name: [i for i, fold in enumerate(FOLDS) if fold == fold_of.get(name)]
        for name in students
    }
    said_by = {
        name: dict(zip(rows, ask(copy.deepcopy(students[name]), images[rows])))
        for name, rows in blind.items()
        if rows
    }
    losses = {}
    for name, student in students.items():
        student.train().zero_grad()
        rows = [i for i, fold in enumerate(FOLDS) if fold != fold_of.get(name)]
        logits = forward(student, images[rows])
        terms = dict(task=0.0, teacher=0.0, collective=0.0, correlation=0.0)
        for z, i in zip(logits, rows):
            log_p = (z / TAU).log_softmax(0)
            terms['task'] = terms['task'] - z.log_softmax(0)[labels[i]]
            asked = [each for each in fold_of if fold_of[each] == FOLDS[i]]
            with torch.no_grad():
                target = combine([said_by[each][i] / TAU for each in asked])
                from_teacher = (forward_teacher(model, images)[i] / TAU).softmax(0)
            terms['teacher'] = terms['teacher'] + alpha * TAU**2 * kl(
                from_teacher, log_p
            )
            terms['collective'] = terms['collective'] + beta * TAU**2 * kl(
                target, log_p
            )
            terms['correlation'] = (
                terms['correlation'] + gamma * (log_p.exp() * log_p).sum()
            )
        losses[name] = {term: value / len(rows) for term, value in terms.items()}
        sum(losses[name].values()).backward()
    return losses, students


def forward(network, images):
    return network.head(network.extract_feat(images))


def ask(network, images):
    """With the statistics of these images, if there are several."""
    with torch.no_grad():
        return forward(network.train(len(images) > 1), images)


def forward_teacher(model, images):
    return forward(model.teachers[0].model, images)


def kl(target, log_p):
    return (target * (target.log() - log_p)).sum()


def logit_mean(said):
    return torch.stack(said).mean(0).softmax(0)


def mean(said):
    return torch.stack([each.softmax(0) for each in said]).mean(0)


@pytest.mark.parametrize(
    'count, graduate, collector, combine',
    [
        (4, 'student3', 'held_out', logit_mean),
        (5, None, 'held_out', logit_mean),
        (5, ['student1', 'student4'], dict(type='held_out', collector='mean'), mean),
    ],
)
def test_a_step_is_a_loop_over_the_images_that_are_seen(
    count, graduate, collector, combine
):
    model = shallow_distil(
        count,
        folds=dict(num_folds=3, graduate=graduate),
        distiller=dckd(collector=collector),
    )
    model = warmed(model).train()
    before = copy.deepcopy(model)
    losses, data = step(model, batch())
    fold_of = model.folds.fold_of
    expected, students = reference(before, data, fold_of, combine, 1.0, 1.0, 0.1)
    for name, student in model.cohort.items():
        for term, value in expected[name].items():
            key = f'collective.{name}.loss_dckd.{term}'
            key = f'student.{name}.loss' if term == 'task' else key
            torch.testing.assert_close(losses[key], value)
        for p, q in zip(student.parameters(), students[name].parameters()):
            torch.testing.assert_close(p.grad, q.grad, rtol=1e-6, atol=1e-9)
        # The statistics of BatchNorm as well.
        for p, q in zip(student.buffers(), students[name].buffers()):
            torch.testing.assert_close(p, q)


def test_peers_that_have_seen_an_image_are_asked_without_held_out():
    """As a cohort of those that see it, fold by fold."""
    model = warmed(shallow_distil(4, folds=dict(num_folds=2), distiller=dckd())).train()
    data = batch([0, 0, 0, 1, 1, 0, 1, 0])
    before = copy.deepcopy(model)
    losses, data = step(model, data)
    folds = torch.tensor([0, 0, 0, 1, 1, 0, 1, 0])
    logits = {
        name: forward(student.train(), data['inputs'][folds != int(name[-1]) % 2])
        for name, student in before.cohort.items()
    }
    # Students 0 and 2 see fold 1, and 1 and 3 fold 0: pairs that teach each other.
    for name, other in (('student0', 'student2'), ('student3', 'student1')):
        log_p = (logits[name] / TAU).log_softmax(1)
        target = (logits[other] / TAU).softmax(1)
        expected = TAU**2 * (target * (target.log() - log_p)).sum(1).mean()
        value = losses[f'collective.{name}.loss_dckd.collective']
        torch.testing.assert_close(value, expected)


def test_a_loss_on_the_batch_is_of_the_images_that_are_seen():
    """DIST compares classes over the images of a batch."""
    distiller = dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(loss_dist=dict(type='mmdckd.CohortDISTLoss')),
    )
    cfg = dict(folds=dict(num_folds=3, graduate='student3'), distiller=distiller)
    model = warmed(shallow_distil(4, **cfg)).train()
    before = copy.deepcopy(model)
    losses, data = step(model, batch())
    loss = model.distiller.collective_losses.loss_dist
    for name, student in before.cohort.items():
        rows = [i for i, f in enumerate(FOLDS) if f != model.folds.fold_of.get(name)]
        logits = forward(student.train(), data['inputs'][rows])
        terms = loss([logits], forward_teacher(before, data['inputs'])[rows])
        for term, value in terms.items():
            found = losses[f'collective.{name}.loss_dist.{term}']
            torch.testing.assert_close(found, value[0])


def test_statistics_are_of_the_images_that_are_seen():
    model = warmed(shallow_distil(4, folds=dict(num_folds=2), distiller=dckd())).train()
    before = copy.deepcopy(model)
    losses, data = step(model, batch([0, 1] * 4))
    folds = torch.tensor([0, 1] * 4)
    logits = [
        forward(student.train(), data['inputs'][folds != i % 2])
        for i, student in enumerate(before.cohort.students.values())
    ]
    for i, z in enumerate(logits):
        entropy = before.task.entropy(z).mean()
        torch.testing.assert_close(losses[f'collective.student{i}.entropy'], entropy)
    pairs = [
        (logits[i].argmax(1) == logits[i + 2].argmax(1)).double().mean()
        for i in range(2)
    ]
    found = losses['collective.agreement']
    torch.testing.assert_close(found.double(), torch.stack(pairs).mean())


def test_the_agreement_is_a_mean_over_images():
    """Not over folds, which need not be of one size."""
    plan = FoldPlan([f'student{i}' for i in range(4)], num_folds=2)
    samples = batch([0, 1, 1, 1, 1, 1])['data_samples']
    folds = BatchFolds(plan, samples, torch.device('cpu'))
    # Students 1 and 3 see the first image, 0 and 2 the others.
    top = [[9, 1, 2, 3, 4, 5], [7] * 6, [8, 1, 2, 0, 0, 0], [7] * 6]
    logits = F.one_hot(torch.tensor(top), 10).float()
    found = cohort_statistics(plan.names, logits, Classification(), folds)
    assert found['collective.agreement'] == pytest.approx(3 / 6)


def test_an_image_without_a_label_is_seen_by_all_and_taught_by_all_others():
    model = shallow_distil(
        3,
        folds=dict(num_folds=2, graduate='student2'),
        distiller=dckd(collector='held_out', gamma=0.0, alpha=0.0),
        calculate_student_loss=False,
    )
    model = warmed(model).train()
    before = copy.deepcopy(model)
    losses, data = step(model, batch([-1] * 4, unlabeled=range(4)))
    images = data['inputs']
    said = {n: ask(copy.deepcopy(s), images) for n, s in before.cohort.items()}
    for name, student in before.cohort.items():
        log_p = (forward(student.train(), images) / TAU).log_softmax(1)
        others = [z / TAU for other, z in said.items() if other != name]
        target = torch.stack(others).mean(0).softmax(1)
        expected = TAU**2 * (target * (target.log() - log_p)).sum(1).mean()
        value = losses[f'collective.{name}.loss_dckd.collective']
        torch.testing.assert_close(value, expected)


def test_a_copy_without_a_label_stays_in_the_fold_of_the_image():
    """The others have seen its label, so a student that is blind does not train on
    it."""
    plan = FoldPlan(['student0', 'student1'])
    samples = batch([0, 1, 0, -1], unlabeled=(2, 3))['data_samples']
    folds = BatchFolds(plan, samples, torch.device('cpu'))
    assert folds.seen('student0').tolist() == [1, 3]
    assert folds.blind('student0').tolist() == [0, 2, 3]


@pytest.mark.parametrize('memory', [None, 'checkpoint'])
def test_a_student_never_learns_from_its_fold(memory):
    """Bit for bit, in weights and in statistics: the run that never saw it."""

    def trained(blank):
        model = shallow_distil(
            3,
            folds=dict(num_folds=2, graduate='student2'),
            # Of the teacher alone: what peers say of other images would differ.
            distiller=dckd(beta=0.0),
            memory=memory,
        ).train()
        optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
        for start in (0, 8):
            data = digits(8, start)
            data['inputs'] = data['inputs'].clone()
            for i, sample in enumerate(data['data_samples']):
                sample.set_metainfo(dict(fold=i % 2))
                if i % 2 == blank:
                    data['inputs'][i] = 255 - data['inputs'][i]
                    sample.set_gt_label(0)
            optimizer.zero_grad()
            losses = model.loss(**model.data_preprocessor(data, True))
            model.parse_losses(losses)[0].backward()
            optimizer.step()
        return model.cohort.students

    whole, blanked = trained(None), trained(0)
    equal = {
        name: all(
            torch.equal(p, q)
            for p, q in zip(
                whole[name].state_dict().values(), blanked[name].state_dict().values()
            )
        )
        for name in whole
    }
    assert equal == dict(student0=True, student1=False, student2=False)


def test_asking_changes_nothing_but_the_target():
    """Modes, statistics, random numbers and gradients stay."""
    students = dict(architecture=network())
    model = shallow_distil(
        3,
        folds=dict(graduate='student2'),
        distiller=dckd(collector='held_out'),
        **students,
    ).train()
    frozen = model.cohort.students['student0'].backbone.norm1.eval()
    alone = copy.deepcopy(model)
    step_rng = torch.get_rng_state()
    data = model.data_preprocessor(batch([0, 1] * 4), True)
    model.loss(**data)
    assert torch.equal(step_rng, torch.get_rng_state())
    assert not frozen.training
    others = [m for m in model.cohort.students.modules() if m is not frozen]
    assert all(m.training for m in others if m is not model.cohort.students)
    for index, student in enumerate(alone.cohort.students.values()):
        seen = [i for i in range(8) if i % 2 != index]
        forward(student, data['inputs'][seen])
        trained = model.cohort.students[f'student{index}']
        for one, other in zip(student.buffers(), trained.buffers()):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize('number', [1, 2])
def test_several_images_are_predicted_with_their_own_statistics(number):
    model = warmed(
        shallow_distil(2, folds=dict(), distiller=dckd(collector='held_out'))
    )
    student = model.cohort.students['student0'].train()
    images = model.data_preprocessor(batch([0, 1]), True)['inputs'][:number].double()
    before = copy.deepcopy(student)
    with predicting(student, number), torch.no_grad():
        said = forward(student, images)
    torch.testing.assert_close(said, ask(copy.deepcopy(before), images))
    assert all(map(torch.equal, student.buffers(), before.buffers()))
    assert all(module.training for module in student.modules())


def test_predicting_waits_for_no_other_process(monkeypatch):
    images = torch.randn(4, 3, 2, 2)
    expected = torch.nn.BatchNorm2d(3)(images)
    layer = torch.nn.SyncBatchNorm(3)
    # In training mode it would now exchange statistics, which it cannot on a CPU.
    monkeypatch.setattr(torch.distributed, 'is_initialized', lambda: True)
    with pytest.raises(ValueError, match='GPU'):
        layer(images)
    before = copy.deepcopy(layer)
    with predicting(layer, len(images)):
        torch.testing.assert_close(layer(images), expected)
    assert list(layer.state_dict()) == list(before.state_dict())
    assert all(map(torch.equal, layer.buffers(), before.buffers()))


def test_best_and_first_prediction_are_those_of_a_graduate():
    model = shallow_distil(3, folds=dict(graduate='student2'))
    assert model.cohort.deployed == ['student2']
    data = model.data_preprocessor(digits(4), False)
    model.eval()
    own = model.cohort.students['student2'](**data, mode='predict')
    for a, b in zip(model(**data, mode='predict'), own):
        assert torch.equal(a.pred_score, b.pred_score)


def test_the_summary_says_who_is_asked():
    model = shallow_distil(
        4, folds=dict(graduate='student3'), distiller=dckd(collector='held_out')
    )
    loss = model.distiller.collective_losses.loss_dckd
    names = model.cohort.names
    sources = [loss.sources(i, names, [])['collective'] for i in range(4)]
    assert sources == [
        ['student1', 'student2'],
        ['student0', 'student2'],
        ['student0', 'student1'],
        ['student0', 'student1', 'student2'],
    ]


@pytest.mark.parametrize('where', ['outside', 'inside'])
def test_held_out_may_include_the_teacher(where):
    """By an option of its own, or of the collector inside it."""
    logits = torch.randn(5, 2, 4, 6, generator=torch.Generator().manual_seed(0))
    log_probs = logits.log_softmax(-1)
    arguments = log_probs[:3], log_probs[3], log_probs[4, :1]
    cfg = dict(type='held_out', collector=dict(type='mean'))
    (cfg if where == 'outside' else cfg['collector'])['include_teacher'] = True
    torch.testing.assert_close(
        build_collector(cfg).collect_finished(*arguments),
        MeanCollector(include_teacher=True).collect_finished(*arguments),
    )
    # For images without labels, the collector inside it makes all sets.
    torch.testing.assert_close(
        build_collector(cfg)(None, *arguments[1:]),
        MeanCollector(include_teacher=True)(None, *arguments[1:]),
    )
    assert DCKDLoss(alpha=0.0, collector=cfg).needs_teacher


def test_held_out_needs_the_labels_of_the_collector_inside_it():
    loss = DCKDLoss(collector=dict(type='held_out', collector='naive'))
    assert loss.label_users == ['`collector`']
    with pytest.raises(ValueError, match="the task 'multi_label'"):
        loss.use_task(MultiLabel())


def test_held_out_has_the_task_of_the_collector_inside_it():
    logits = torch.randn(4, 2, 4, 6, generator=torch.Generator().manual_seed(0))
    log_probs = MultiLabel.distributions(logits).log_softmax(-1)
    targets = []
    for cfg in ('max', dict(type='held_out', collector='max')):
        collector = build_collector(cfg)
        collector.use_task(MultiLabel())
        targets.append(collector.collect_finished(log_probs[:3], log_probs[3]))
    assert torch.equal(*targets)


def test_plans():
    names = [f'student{i}' for i in range(5)]
    plan = FoldPlan(names)
    assert plan.num_folds == 5 and plan.deployed == names
    plan = FoldPlan(names, num_folds=2, graduate='student1')
    assert plan.fold_of == dict(student0=0, student2=1, student3=0, student4=1)
    assert plan.blind_to(0) == [0, 3] and plan.seeing(0) == [1, 2, 4]


@pytest.mark.parametrize(
    'folds, message',
    [
        (dict(graduate='student9'), r"folds.graduate`.*'student9'\. Did you mean"),
        (dict(num_folds=4, graduate='student3'), 'from 2 to 3, .* got 4'),
        (dict(num_folds=1), 'from 2 to 4, .* got 1'),
        (dict(num_folds='4'), "from 2 to 4, .* got '4'"),
        (dict(seed=0.5), 'folds.seed`: expected an integer, got 0.5'),
        (dict(fold=4), 'a dict with keys of'),
        (4, 'a dict with keys of'),
    ],
)
def test_plans_that_cannot_be(folds, message):
    with pytest.raises(ValueError, match=message):
        build(
            architecture=network(),
            num_students=4,
            distiller=dckd(alpha=0.0),
            folds=folds,
        )


@pytest.mark.parametrize(
    'cfg, message',
    [
        (dict(lagged_peers=dict()), 'None with lagged_peers'),
        (dict(views='independent'), "None with views='independent'"),
        (dict(cuda_graphs=True), 'None with cuda_graphs=True'),
        (
            dict(
                data_preprocessor=dict(
                    type='mmpretrain.ClsDataPreprocessor',
                    num_classes=10,
                    batch_augments=dict(augments=[dict(type='Mixup', alpha=1.0)]),
                )
            ),
            r'batch_augments \(mixup, CutMix\)',
        ),
        (
            dict(
                distiller=dict(
                    dckd(),
                    student_recorders=dict(
                        logits_=dict(type='ModuleOutputs', source='head.fc')
                    ),
                    teacher_recorders=dict(
                        logits_=dict(type='ModuleOutputs', source='head.fc')
                    ),
                    distill_losses=dict(loss_kd=dict(type='mmrazor.KLDivergence')),
                    loss_forward_mappings=dict(
                        loss_kd=dict(
                            preds_S=dict(from_student=True, recorder='logits_'),
                            preds_T=dict(from_student=False, recorder='logits_'),
                        )
                    ),
                )
            ),
            "MMRazor's losses",
        ),
        (
            dict(
                distiller=dict(
                    type='mmdckd.CollectiveDistiller',
                    collective_losses=dict(
                        loss_one=dict(
                            type='mmdckd.GatedEnsembleLoss',
                            num_students=2,
                            num_classes=10,
                        )
                    ),
                )
            ),
            'from the teacher only, or that is a mean .* GatedEnsembleLoss',
        ),
        (dict(distiller=dckd()), 'expected 2 or more, as .* needs peers'),
        (dict(folds=dict(graduate=2)), '`model.folds.graduate`: .*got 2'),
        (
            dict(folds=None, distiller=dckd(collector='held_out')),
            'loss_dckd.collector`: expected a collector without folds',
        ),
        (dict(distiller=dckd(teacher_collector='held_out')), 'expected no `held_out`'),
        (
            dict(
                distiller=dckd(
                    collector=dict(
                        type='held_out', collector=dict(type='mean', include_self=True)
                    )
                )
            ),
            'without `include_self`',
        ),
        (
            dict(
                distiller=dckd(
                    collector=dict(
                        type='held_out',
                        collector=dict(type='weighted', weights=[1.0, 2.0]),
                    )
                )
            ),
            'treats all peers alike.*got WeightedCollector',
        ),
        (
            dict(
                distiller=dckd(
                    collector=dict(
                        type='held_out',
                        collector=dict(
                            type='agreement',
                            collector=dict(type='weighted', weights=[1.0, 2.0]),
                        ),
                    )
                )
            ),
            'treats all peers alike.*got AgreementCollector',
        ),
        (
            dict(distiller=dckd(collector=dict(type='held_out', collector='general'))),
            'treats all peers alike.*got GeneralCollector',
        ),
    ],
)
def test_what_folds_do_not_go_with(cfg, message):
    with pytest.raises(ValueError, match=message):
        shallow_distil(2, **{'folds': dict(), **cfg})


@pytest.mark.parametrize(
    'collector',
    [
        'general',
        dict(type='agreement', collector='general'),
        dict(type='weighted', weights=[1.0, 2.0, 3.0]),
    ],
)
def test_the_students_that_see_an_image_have_no_weights_by_member(collector):
    message = r'loss_dckd`: .*all peers alike, as `model.folds`.*Collector\.'
    with pytest.raises(ValueError, match=message):
        shallow_distil(3, folds=dict(), distiller=dckd(collector=collector))
    shallow_distil(3, folds=dict(), distiller=dckd(collector=collector, beta=0.0))


def test_images_without_labels_may_count_by_agreement():
    held_out = dict(type='held_out', collector='agreement')
    model = shallow_distil(3, folds=dict(), distiller=dckd(collector=held_out)).train()
    plain = shallow_distil(
        3, folds=dict(), distiller=dckd(collector='held_out')
    ).train()
    key = 'collective.student0.loss_dckd.collective'
    for folds, without in ([0, 1, 2] * 2, ()), ([0, 1, 2, -1, -1, -1], (3, 4, 5)):
        losses = [
            each.loss(**each.data_preprocessor(batch(folds, without), True))[key]
            for each in (model, plain)
        ]
        assert torch.equal(*losses) == (not without)


def test_a_sample_without_a_fold_is_named():
    model = shallow_distil(2, folds=dict(), distiller=dckd(beta=0.0))
    with pytest.raises(ValueError, match='Invalid batch: .*mmdckd.FoldsHook'):
        model.loss(**model.data_preprocessor(digits(4), True))


def test_the_target_is_float32_under_autocast():
    model = shallow_distil(
        3, folds=dict(), distiller=dckd(collector='held_out')
    ).train()
    data = model.data_preprocessor(batch([0, 1, 2] * 2), True)
    with torch.autocast('cpu', torch.bfloat16):
        losses = model.loss(**data)
    value = losses['collective.student0.loss_dckd.collective']
    assert value.dtype == torch.float32 and F.relu(value) == value


class FormerAutocast(TorchFunctionMode):
    """Autocast of older versions of torch, which keeps the weights that it has cast,
    also without gradients."""

    def __init__(self):
        super().__init__()
        self.kept = {}
        self.used = 0

    def cast(self, value):
        if not isinstance(value, torch.Tensor):
            return value
        if not value.requires_grad or not value.is_leaf:
            return value.to(torch.bfloat16)
        self.used += 1
        return self.kept.setdefault(value, value.to(torch.bfloat16))

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in (torch.conv2d, F.conv2d, F.linear):
            args = tuple(self.cast(each) for each in args)
        return function(*args, **(kwargs or {}))


def test_asking_in_mixed_precision_takes_no_gradients_away(monkeypatch):
    model = shallow_distil(
        2, folds=dict(), distiller=dckd(collector='held_out')
    ).train()
    data = model.data_preprocessor(batch([0, 1] * 4), True)
    autocast = FormerAutocast()
    monkeypatch.setattr(torch, 'clear_autocast_cache', autocast.kept.clear)
    with autocast:
        losses = model.loss(**data)
    model.parse_losses(losses)[0].backward()
    assert autocast.used
    assert all(parameter.grad is not None for parameter in model.cohort.parameters())


def test_students_with_different_folds_may_start_equal():
    def start_equal(num_folds):
        folds = dict(num_folds=num_folds)
        model = shallow_distil(4, folds=folds, distiller=dckd(alpha=0.0), teacher=None)
        first, *others = model.cohort.students.values()
        for student in others:
            student.load_state_dict(first.state_dict())
        return model.double().train()

    step(start_equal(4), batch([0, 0, 1, 1, 2, 2, 3, 3]))
    with pytest.raises(ValueError, match='student0.*student2'):
        step(start_equal(2), batch([0, 0, 1, 1]))
