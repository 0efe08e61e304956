# Copyright (c) mmdckd contributors. All rights reserved.
"""Every loss, connector and distiller of MMRazor, each in a config that
works.

The configs are for the networks in :mod:`studies.razor.check`: the features of
``backbone.layer2`` are (B, 8, 4, 4) in a student and (B, 16, 4, 4) in the
teacher, those of ``backbone.layer3`` (B, 16, 2, 2) in a student, pooled ones
(B, 32, 1, 1) and (B, 64, 1, 1), and there are 10 classes.
"""

from typing import Dict, NamedTuple, Optional

RECORDERS = dict(
    feature=dict(type='ModuleOutputs', source='backbone.layer2.1.bn1'),
    small=dict(type='ModuleOutputs', source='backbone.layer3.1.bn1'),
    pooled=dict(type='ModuleOutputs', source='neck.gap'),
    vector=dict(type='ModuleInputs', source='head.fc'),
    logits=dict(type='ModuleOutputs', source='head.fc'),
    labels=dict(type='ModuleInputs', source='head.loss_module'),
    samples=dict(type='ModuleInputs', source=''),
)

WIDER = dict(type='ConvModuleConnector', in_channel=8, out_channel=16, act_cfg=None)


class Case(NamedTuple):
    """One loss with what it needs.

    Attributes:
        loss (dict): Its config.
        inputs (Dict[str, dict]): Its mapping, as in MMRazor.
        connectors (dict): The connectors.
        distiller (str): The type of each student's distiller.
        trains_student (bool): False if only connectors learn.
        note (str): A note for users.
        steps (int): The number of steps in which it falls.
    """

    loss: dict
    inputs: Dict[str, dict]
    connectors: Dict[str, dict] = {}
    distiller: str = 'ConfigurableDistiller'
    trains_student: bool = True
    note: str = ''
    steps: int = 8

    def parts(self) -> dict:
        """The config of the distiller, without its type."""
        recorders = {
            side: {
                record['recorder']: RECORDERS[record['recorder']]
                for record in self.inputs.values()
                if record['from_student'] is side
            }
            for side in (True, False)
        }
        return dict(
            student_distiller=dict(type=self.distiller),
            student_recorders=recorders[True],
            teacher_recorders=recorders[False],
            connectors=self.connectors,
            distill_losses=dict(loss_razor=self.loss),
            loss_forward_mappings=dict(loss_razor=self.inputs),
        )


def _record(
    from_student: bool, recorder: str, connector: Optional[str], **index
) -> dict:
    record = dict(recorder=recorder, from_student=from_student, **index)
    if connector:
        record['connector'] = connector
    return record


def _student(recorder: str, connector: Optional[str] = None, **index) -> dict:
    return _record(True, recorder, connector, **index)


def _teacher(recorder: str, connector: Optional[str] = None, **index) -> dict:
    return _record(False, recorder, connector, **index)


def _logits(loss: str, note: str = '', **kwargs) -> Case:
    return Case(
        dict(type=loss, **kwargs),
        dict(preds_S=_student('logits'), preds_T=_teacher('logits')),
        note=note,
    )


def _features(loss: str, note: str = '', **kwargs) -> Case:
    return Case(
        dict(type=loss, **kwargs),
        dict(s_feature=_student('feature', 'wider'), t_feature=_teacher('feature')),
        dict(wider=WIDER),
        note=note,
    )


def _maps(loss: str) -> Case:
    return Case(
        dict(type=loss),
        dict(preds_S=_student('feature', 'wider'), preds_T=_teacher('feature')),
        dict(wider=WIDER),
    )


def _relations(loss: str) -> Case:
    return Case(
        dict(type=loss),
        dict(preds_S=_student('feature'), preds_T=_teacher('feature')),
        note='Compares images with each other: any two shapes will do.',
    )


_DATA_FREE = (
    "Made for a generator, which learns from the teacher's outputs; "
    "here it is given the student's own."
)

#: Loss to its case.
LOSSES: Dict[str, Case] = dict(
    ABLoss=_features('ABLoss'),
    ATLoss=Case(
        dict(type='ATLoss'),
        dict(s_feature=_student('feature'), t_feature=_teacher('feature')),
        note='Compares where, not what: channels may differ.',
    ),
    CRDLoss=Case(
        dict(type='CRDLoss', neg_num=16, sample_n=1797, dim_out=16),
        dict(
            s_feats=_student('pooled', 'embed_student'),
            t_feats=_teacher('pooled', 'embed_teacher'),
            data_samples=_student('samples', data_idx=1),
        ),
        dict(
            embed_student=dict(type='CRDConnector', dim_in=32, dim_out=16),
            embed_teacher=dict(type='CRDConnector', dim_in=64, dim_out=16),
        ),
        note='Needs the index of every image: end the pipeline with '
        '`mmdckd.PackCRDInputs`. MMRazor ignores its `loss_weight`. It rises '
        'for some steps, while its memory of features fills.',
        steps=16,
    ),
    CrossEntropyLoss=_logits(
        'mmrazor.CrossEntropyLoss',
        note='The class that the teacher predicts is the label. '
        'MMPretrain has another loss of this name.',
    ),
    ChannelWiseDivergence=_maps('ChannelWiseDivergence'),
    ActivationLoss=Case(
        dict(type='ActivationLoss'), dict(feat_T=_student('pooled')), note=_DATA_FREE
    ),
    OnehotLikeLoss=Case(
        dict(type='OnehotLikeLoss'), dict(preds_T=_student('logits')), note=_DATA_FREE
    ),
    InformationEntropyLoss=Case(
        dict(type='InformationEntropyLoss'),
        dict(preds_T=_student('logits')),
        note=_DATA_FREE,
    ),
    DKDLoss=Case(
        dict(type='DKDLoss'),
        dict(
            preds_S=_student('logits'),
            preds_T=_teacher('logits'),
            gt_labels=_student('labels', data_idx=1),
        ),
        note='Takes no soft labels. Not a number where logits are large, and '
        "`reduction` 'mean' and 'none' are sums; `mmdckd.CohortDKDLoss` has "
        'neither fault.',
    ),
    DISTLoss=Case(
        dict(type='DISTLoss'),
        dict(logits_S=_student('logits'), logits_T=_teacher('logits')),
        note='Not a number where float16 logits are large; '
        '`mmdckd.CohortDISTLoss` is finite.',
    ),
    FTLoss=Case(
        dict(type='FTLoss'),
        dict(
            s_feature=_student('feature', 'translator'),
            t_feature=_teacher('feature', 'paraphraser'),
        ),
        dict(
            translator=dict(type='Translator', in_channel=8, out_channel=8),
            paraphraser=dict(
                type='Paraphraser', in_channel=16, out_channel=8, phase='train'
            ),
        ),
        note='Its paraphraser is pretrained in a run of its own, with '
        '`student_trainable=False`.',
    ),
    FBKDLoss=Case(
        dict(type='FBKDLoss'),
        dict(
            s_input=_student('feature', 'student'),
            t_input=_teacher('feature', 'teacher'),
        ),
        dict(
            student=[WIDER, dict(type='FBKDStudentConnector', in_channels=16)],
            teacher=dict(type='FBKDTeacherConnector', in_channels=16),
        ),
    ),
    KDSoftCELoss=_logits(
        'KDSoftCELoss', note='Needs mmcls in MMRazor; here MMPretrain serves it.'
    ),
    KLDivergence=_logits('KLDivergence'),
    L1Loss=_features('L1Loss'),
    L2Loss=_features('L2Loss'),
    MGDLoss=Case(
        dict(type='MGDLoss'),
        dict(preds_S=_student('feature', 'generate'), preds_T=_teacher('feature')),
        dict(
            generate=dict(type='MGDConnector', student_channels=8, teacher_channels=16)
        ),
    ),
    OFDLoss=Case(
        dict(type='OFDLoss'),
        dict(
            s_feature=_student('feature', 'wider'),
            t_feature=_teacher('feature', 'margin'),
        ),
        dict(wider=WIDER, margin=dict(type='OFDTeacherConnector')),
        distiller='OFDDistiller',
        note='The teacher is recorded at a BatchNorm, whose statistics give '
        'the margins.',
    ),
    PKDLoss=_maps('PKDLoss'),
    AngleWiseRKD=_relations('AngleWiseRKD'),
    DistanceWiseRKD=_relations('DistanceWiseRKD'),
    WSLD=Case(
        dict(type='WSLD', num_classes=10),
        dict(
            student=_student('logits'),
            teacher=_teacher('logits'),
            gt_labels=_student('labels', data_idx=1),
        ),
        note='Takes no soft labels.',
    ),
)

#: What no loss above has used, in a case of its own.
OTHERS: Dict[str, Case] = dict(
    paraphraser_pretraining=Case(
        dict(type='L2Loss'),
        dict(
            s_feature=_teacher('feature'), t_feature=_teacher('feature', 'paraphraser')
        ),
        dict(paraphraser=dict(type='Paraphraser', in_channel=16, out_channel=8)),
        trains_student=False,
        note='Only the paraphraser learns: `student_trainable=False`, '
        '`calculate_student_loss=False`.',
    ),
    functional=Case(
        dict(type='L2Loss'),
        dict(s_feature=_student('small', 'bigger'), t_feature=_teacher('feature')),
        dict(
            bigger=dict(
                type='TorchFunctionalConnector',
                function_name='interpolate',
                func_args=dict(size=(4, 4)),
            )
        ),
    ),
    module=Case(
        dict(type='L2Loss'),
        dict(
            s_feature=_student('vector', 'linear', data_idx=0),
            t_feature=_teacher('vector', data_idx=0),
        ),
        dict(
            linear=dict(
                type='TorchNNConnector',
                module_name='Linear',
                module_args=dict(in_features=32, out_features=64),
            )
        ),
    ),
    norm=Case(
        dict(type='L2Loss', normalize=False, div_element=True),
        dict(
            s_feature=_student('feature', 'student'),
            t_feature=_teacher('feature', 'teacher'),
        ),
        dict(
            student=[
                WIDER,
                dict(type='NormConnector', in_channels=16, norm_cfg=dict(type='BN')),
            ],
            teacher=dict(
                type='NormConnector',
                in_channels=16,
                norm_cfg=dict(type='BN', affine=False),
            ),
        ),
    ),
    byot=Case(
        dict(type='KLDivergence', tau=3),
        dict(
            preds_S=_student('feature', 'early', connector_idx=1),
            preds_T=_teacher('logits'),
        ),
        dict(
            early=dict(
                type='BYOTConnector',
                in_channel=8,
                out_channel=32,
                num_classes=10,
                expansion=1,
                stride=2,
                pool_size=1,
            )
        ),
        distiller='BYOTDistiller',
        note='Each student is its own teacher.',
    ),
)

#: Connector to the case that has it.
CONNECTORS: Dict[str, Case] = dict(
    ConvModuleConnector=LOSSES['L2Loss'],
    Translator=LOSSES['FTLoss'],
    Paraphraser=OTHERS['paraphraser_pretraining'],
    BYOTConnector=OTHERS['byot'],
    FBKDStudentConnector=LOSSES['FBKDLoss'],
    FBKDTeacherConnector=LOSSES['FBKDLoss'],
    TorchFunctionalConnector=OTHERS['functional'],
    TorchNNConnector=OTHERS['module'],
    CRDConnector=LOSSES['CRDLoss'],
    OFDTeacherConnector=LOSSES['OFDLoss'],
    MGDConnector=LOSSES['MGDLoss'],
    NormConnector=OTHERS['norm'],
)
